"""The second factor: the table `two_factor`, and under it the shapes."""

from datetime import datetime

from sqlalchemy import ARRAY, Text, text
from sqlmodel import Field, SQLModel, UTCDateTime

from pamps.models.base import counter, reference
from pamps.models.shape import Answer, Count, Instant, Request


class TwoFactor(SQLModel, table=True):
    """A user's second factor; on once its first code has been seen.

    `last_step` is the time step of the last code that was used: no code of that or an earlier one is taken again.
    """

    __tablename__ = "two_factor"

    user_id: int = reference("user.id", primary_key=True)
    # As it is: with a hash no code can be worked out. SECURITY.md says why it is not encrypted.
    secret: str = Field(sa_type=Text, repr=False)
    enabled_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    last_step: int = counter()
    # Hashes, in hexadecimal: asyncpg knows text[] by itself, and asks each connection's server what a bytea[] is.
    recovery_codes: list[str] = Field(
        default=None,
        nullable=False,
        sa_type=ARRAY(Text),
        sa_column_kwargs={"server_default": text("'{}'")},
        repr=False,
    )


two_factors = TwoFactor.__table__  # type: ignore[attr-defined]


class PasswordAgain(Request):
    """The password once more."""

    password: str = Field(max_length=256)


class FirstCode(Request):
    """A code by the secret that was given, to show that it has arrived."""

    code: str = Field(min_length=1, max_length=64)


class BothFactors(Request):
    """The password once more, and a code or a recovery code."""

    password: str = Field(max_length=256)
    code: str = Field(min_length=1, max_length=64)


class TwoFactorResponse(Answer):
    """Whether signing in takes a code, since when, and how many recovery codes are left."""

    enabled: bool
    enabled_at: Instant | None
    recovery_codes_left: Count


class TwoFactorSecret(Answer):
    """What an authenticator needs; `uri` is for a QR code."""

    secret: str
    uri: str


class RecoveryCodes(Answer):
    """Each signs in once instead of a code. They are shown this once."""

    recovery_codes: list[str]
