"""Mail: the table `link`, and under it the shapes of what is sent by mail and comes back."""

from datetime import datetime
from typing import Annotated

from pydantic import Field as Bound
from sqlalchemy import CheckConstraint, LargeBinary, Text
from sqlmodel import Field, SQLModel, UTCDateTime

from pamps.models.base import reference
from pamps.models.shape import NO_NUL, Answer, Email, Instant, Password, Request

VERIFICATION, PASSWORD_RESET = "verification", "password_reset"


class Link(SQLModel, table=True):
    """A link that was sent by mail: the latest of its kind for a user, so a new one replaces it. Using it spends it.

    Only the hash of its token is kept, null once it is spent. It is good for the email that it was sent to alone.
    `spaced_until` spaces mails out: each moves it on by `mail.resend_minutes`, and it may be only so far ahead.
    """

    __table_args__ = (CheckConstraint(f"kind IN ('{VERIFICATION}', '{PASSWORD_RESET}')", name="kind"),)

    user_id: int = reference("user.id", primary_key=True)
    kind: str = Field(primary_key=True, sa_type=Text(collation="C"))
    email: str = Field(sa_type=Text(collation="C"))
    token_hash: bytes | None = Field(default=None, sa_type=LargeBinary, repr=False, unique=True)
    expires_at: datetime = Field(sa_type=UTCDateTime)
    spaced_until: datetime = Field(sa_type=UTCDateTime)


links = Link.__table__  # type: ignore[attr-defined]

LinkToken = Annotated[str, Bound(min_length=1, max_length=200, pattern=NO_NUL)]


class EmailVerification(Request):
    """To verify an email: the token of the link that was mailed to it."""

    token: LinkToken


class PasswordResetRequest(Request):
    """To be mailed a link for a new password."""

    email: Email


class PasswordReset(Request):
    """To set a new password: the token of the link, and the password."""

    token: LinkToken
    new_password: Password


class EmailResponse(Answer):
    """My email, and when it was verified; null while it is not."""

    email: str
    verified_at: Instant | None
