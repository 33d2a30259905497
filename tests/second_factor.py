"""The codes of a second factor, and the time that they are of."""

from pyotp import TOTP


class Clock:
    """Stands still until it is set, at the beginning of a step."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def code(secret: str, off: int = 0) -> str:
    """The code of a time, in seconds from when the clock begins."""
    return TOTP(secret).at(int(Clock.now) + off)
