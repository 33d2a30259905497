"""Sign-ins: the table `session`, and under it the shapes of tokens and sessions."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel
from sqlalchemy import ARRAY, CheckConstraint, Index, LargeBinary, Text
from sqlmodel import Field, SQLModel, UTCDateTime

from pamps.models.base import created, identity, reference, related
from pamps.models.shape import Answer, Id, Instant, Request
from pamps.models.user import User

# What a token may be for; docs/api.md says what each lets its bearer do.
SCOPES = ("read", "write", "admin")


class Session(SQLModel, table=True):
    """One sign-in of a user, or a personal token. Ending it deletes the row, and its tokens stop working at once.

    A sign-in has a refresh token. That is two random halves: the first stays for the whole session, the second is new
    with every refresh. A token whose first half is known and whose whole is not the latest has been spent.

    A personal token has a name and scopes. Of each token only hashes are kept.
    """

    __table_args__ = (
        CheckConstraint(
            "(name IS NULL) = (scopes IS NULL) AND (name IS NULL) = (family_hash IS NOT NULL)", name="kind"
        ),
        CheckConstraint(f"scopes <@ '{{{','.join(SCOPES)}}}' AND cardinality(scopes) > 0", name="scopes"),
    )

    id: int | None = identity()
    user_id: int = reference("user.id")
    created_at: datetime = created()
    last_used_at: datetime = created()
    expires_at: datetime = Field(sa_type=UTCDateTime)
    user_agent: str | None = Field(default=None, sa_type=Text)
    ip: str | None = Field(default=None, sa_type=Text)
    family_hash: bytes | None = Field(default=None, sa_type=LargeBinary, repr=False, unique=True)
    token_hash: bytes = Field(sa_type=LargeBinary, repr=False)
    name: str | None = Field(default=None, sa_type=Text)
    scopes: list[str] | None = Field(default=None, sa_type=ARRAY(Text))

    user: User = related("sessions")


sessions = Session.__table__  # type: ignore[attr-defined]

Index("session_by_user", sessions.c.user_id, sessions.c.id)
# Personal tokens: few, perhaps, among many sign-ins.
Index("session_personal", sessions.c.user_id, sessions.c.id, postgresql_where=sessions.c.name.is_not(None))
Index(
    "session_name_key", sessions.c.user_id, sessions.c.name, unique=True, postgresql_where=sessions.c.name.is_not(None)
)


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
