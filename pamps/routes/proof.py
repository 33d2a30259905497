"""Proof that whoever holds a token is who it was given to: the password once more."""

from pamps.config import Settings
from pamps.db import Runner
from pamps.errors import TooManyAttempts, WrongPassword
from pamps.queries import user as users
from pamps.security import Claim, Passwords

UNPROVEN = (WrongPassword, TooManyAttempts)


async def proven(password: str, viewer: Claim, db: Runner, passwords: Passwords, settings: Settings) -> str:
    """The hash that a viewer's password was found to be right by. Counts a guess, and raises UNPROVEN."""
    found = await db.one(users.proof, viewer, **settings.guesses.delays)
    if found["wait"]:
        raise TooManyAttempts(found["wait"])
    known: str = found["password_hash"]
    if not await passwords.verify(password, known):
        raise WrongPassword()
    return known
