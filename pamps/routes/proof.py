"""Proof that whoever holds a token is who it was given to, and passwords that are fit to be one."""

from asyncpg import Record
from fastapi.exceptions import RequestValidationError
from pydantic_core import PydanticCustomError

from pamps.config import Settings
from pamps.db.database import Runner
from pamps.errors import TooManyAttempts, WrongPassword
from pamps.models.shape import own
from pamps.passwords import Passwords
from pamps.queries import user as users
from pamps.tokens import Claim

UNPROVEN = (WrongPassword, TooManyAttempts)


async def guessed(viewer: Claim, db: Runner, settings: Settings) -> Record:
    """What a viewer's guess is held against, once it is counted. Raises TooManyAttempts."""
    found = await db.one(users.proof, viewer, **settings.guesses.delays)
    if found["wait"]:
        raise TooManyAttempts(found["wait"])
    return found


async def proven(password: str, viewer: Claim, db: Runner, passwords: Passwords, settings: Settings) -> Record:
    """What users.proof knows of a viewer: the `password_hash`, which the password was found to be right by, and more.

    Counts a guess, and raises UNPROVEN.
    """
    found = await guessed(viewer, db, settings)
    if not await passwords.verify(password, found["password_hash"]):
        raise WrongPassword()
    return found


def not_ones_name(password: str, owner: Record, field: str) -> None:
    """Refuse a password, sent as this field of the body, that is its owner's `username` or `email`."""
    try:
        own(password, owner["username"], owner["email"])
    except PydanticCustomError as error:
        found = {"loc": ("body", field), "msg": error.message(), "type": error.type}
        raise RequestValidationError([found]) from None
