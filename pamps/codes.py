"""The second factor: one-time codes by time (TOTP, RFC 6238), and recovery codes for when they are out of reach."""

import hmac
import secrets
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

import pyotp

STEP = 30  # seconds
DRIFT = (0, -1, 1)  # steps that a clock may be off by (RFC 6238, section 5.2); the likeliest first
RECOVERY_CODES = 10
ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # without those that are mistaken for one another
LENGTH, GROUP = 16, 4  # characters: 79 bits

clock: Callable[[], float] = time.time  # seconds since the epoch


class Used(NamedTuple):
    """A code as it is used up: the time step that it is of, or the hash of a recovery code; of a secret.

    With nothing in it, what a wrong one uses up: no statement takes that.
    """

    secret: str | None = None
    step: int | None = None
    recovery_code: str | None = None


def new_secret() -> str:
    """160 random bits in base32, as an authenticator takes them."""
    return pyotp.random_base32()


def uri(secret: str, username: str, issuer: str) -> str:
    """What a QR code says to an authenticator (otpauth://)."""
    return pyotp.TOTP(secret).provisioning_uri(name=username, issuer_name=issuer)


def step_of(code: str, secret: str | None) -> int | None:
    """The time step, counted since the epoch, that a code is of: this one or a neighbour. None for a wrong one."""
    if secret is None:
        return None
    now, totp = int(clock()) // STEP, pyotp.TOTP(secret)
    right = [now + off for off in DRIFT if hmac.compare_digest(totp.generate_otp(now + off).encode(), code.encode())]
    return right[0] if right else None


def used(code: str, secret: str | None, last_step: int, recovery_codes: Sequence[str]) -> Used:
    """What a code would use up: nothing if it is wrong or was used before, as the statement has to find too."""
    if secret is None:
        return Used()
    bare = "".join(code.split()).replace("-", "").lower()
    step = step_of(bare, secret)
    if step is not None:
        return Used(secret, step) if step > last_step else Used()
    hashed = digest(bare)
    return Used(secret, None, hashed) if hashed in recovery_codes else Used()


def new_recovery_codes() -> list[str]:
    """Codes to keep on paper, each good once."""
    texts = ["".join(secrets.choice(ALPHABET) for _ in range(LENGTH)) for _ in range(RECOVERY_CODES)]
    return ["-".join(text[start : start + GROUP] for start in range(0, LENGTH, GROUP)) for text in texts]


def hashes(codes: list[str]) -> list[str]:
    """What is stored of recovery codes. A fast hash will do: they are random."""
    return [digest(code.replace("-", "")) for code in codes]


def digest(bare: str) -> str:
    return sha256(bare.encode()).hexdigest()
