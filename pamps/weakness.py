"""Passwords that are guessed first: the most common ones, and one's own names."""

from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

WORST = 10_000
SHORTEST = 8  # characters; what is shorter is refused anyway


@cache
def worst() -> frozenset[str]:
    """The worst passwords, in lower case: the head of zxcvbn's list, which is by how often they were found in leaks.

    Its file is read by itself and not kept: with all of its lists zxcvbn would take 13 MB of each server process.
    """
    package = find_spec("zxcvbn")
    assert package is not None
    assert package.origin is not None
    spec = spec_from_file_location("frequency_lists", Path(package.origin).with_name("frequency_lists.py"))
    assert spec is not None
    assert spec.loader is not None
    lists = module_from_spec(spec)
    spec.loader.exec_module(lists)
    ranked: list[str] = lists.FREQUENCY_LISTS["passwords"]
    return frozenset(word for word in ranked[:WORST] if len(word) >= SHORTEST)


def is_common(password: str) -> bool:
    """Whether a password is one of the worst, whatever its case."""
    return password.lower() in worst()


def is_a_name(password: str, username: str | None, email: str | None) -> bool:
    """Whether a password is its owner's username, email, or what stands before the @ there, whatever the case."""
    names = (username, email, (email or "").rpartition("@")[0])
    return password.lower() in {name.lower() for name in names if name}
