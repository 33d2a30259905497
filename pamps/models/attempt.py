"""Guesses at passwords and codes: the table `attempt`."""

from datetime import datetime

from sqlalchemy import Double, Index, LargeBinary
from sqlmodel import Field, SQLModel

from pamps.models.base import created


class Attempt(SQLModel, table=True):
    """How many guesses have failed of late, by a name that was signed in with, an address, a known device or a session.

    The key is a hash (attempt_key() in the migration), for some type their password where the name belongs.
    `failures` fade with time; count_guess() and forgive_guesses() in the migration keep them.
    """

    key: bytes = Field(sa_type=LargeBinary, primary_key=True)
    failures: float = Field(sa_type=Double)
    last_at: datetime = created()


attempts = Attempt.__table__  # type: ignore[attr-defined]

# To sweep what has faded away.
Index("attempt_by_last_at", attempts.c.last_at)
