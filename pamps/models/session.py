"""Sign-ins: the table `session`, and under it the shapes of tokens and sessions."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel
from sqlalchemy import Index, LargeBinary, Text
from sqlmodel import Field, SQLModel, UTCDateTime

from pamps.models.base import created, identity, reference, related
from pamps.models.shape import Answer, Id, Instant, Request
from pamps.models.user import User


class Session(SQLModel, table=True):
    """One sign-in of a user. Ending it deletes the row, and its tokens stop working with the next request.

    A refresh token is two random halves: the first stays for the whole session, the second is new with every refresh.
    Only their hashes are kept. A token whose first half is known and whose whole is not the latest has been spent.
    """

    id: int | None = identity()
    user_id: int = reference("user.id")
    created_at: datetime = created()
    last_used_at: datetime = created()
    expires_at: datetime = Field(sa_type=UTCDateTime)
    user_agent: str | None = Field(default=None, sa_type=Text)
    ip: str | None = Field(default=None, sa_type=Text)
    family_hash: bytes = Field(sa_type=LargeBinary, repr=False, unique=True)
    token_hash: bytes = Field(sa_type=LargeBinary, repr=False)

    user: User = related("sessions")


sessions = Session.__table__  # type: ignore[attr-defined]

Index("session_by_user", sessions.c.user_id, sessions.c.id)


class RefreshRequest(Request):
    """To exchange a refresh token for new tokens."""

    refresh_token: str = Field(max_length=2048)


class RevokeRequest(Request):
    """To end the session that a token belongs to."""

    token: str = Field(max_length=8192)


class RevokeForm(BaseModel):
    """The same as a form, which may say more, such as token_type_hint (RFC 7009, section 2.1)."""

    token: str = Field(max_length=8192)


class Token(Answer):
    """What a sign-in or a refresh gives (RFC 6749, section 5.1); `expires_in` is of the access token, in seconds."""

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"]
    expires_in: int


class SessionResponse(Answer):
    """One of my sessions; `last_used_at` is the last sign-in or refresh."""

    id: Id
    created_at: Instant
    last_used_at: Instant
    user_agent: str | None
    ip: str | None
    current: bool
