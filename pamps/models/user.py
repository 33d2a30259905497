"""People and whom they follow: the tables `user` and `social`, and under them the shapes that clients see."""

from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import ValidationInfo, field_validator
from sqlalchemy import CheckConstraint, Index, Text, func, literal_column
from sqlmodel import Field, SQLModel, UTCDateTime

from pamps.models.base import counter, created, identity, reference, related
from pamps.models.shape import (
    USERNAME,
    Answer,
    Avatar,
    Bio,
    Count,
    Email,
    Id,
    Instant,
    Name,
    Password,
    Request,
    Username,
    own,
)

if TYPE_CHECKING:
    from pamps.models.device import Device
    from pamps.models.post import Like, Post
    from pamps.models.session import Session


# They would be taken for a page of the service.
RESERVED = (
    "me", "timeline", "follow", "followers", "following", "search", "sessions", "password", "settings", "notifications",
    "login", "logout", "token", "user", "users", "post", "posts", "like", "likes",
)  # fmt: skip


class User(SQLModel, table=True):
    """A person with an account."""

    __table_args__ = (
        CheckConstraint(f"username ~ '{USERNAME}'", name="username"),
        CheckConstraint("role IN ('user', 'moderator', 'admin')", name="role"),
        CheckConstraint("(suspended_at IS NULL) = (suspended_reason IS NULL)", name="suspension"),
        CheckConstraint(f"lower(username) <> ALL ('{{{','.join(RESERVED)}}}')", name="username_reserved"),
    )

    id: int | None = identity()
    # Collation C: comparing and lower-casing bytes is the same on every server; these are for identity, not sorting.
    email: str = Field(sa_type=Text(collation="C"))
    username: str = Field(sa_type=Text(collation="C"))
    password_hash: str = Field(sa_type=Text, repr=False)
    # This one too, for its search index; nothing is sorted by it.
    name: str | None = Field(default=None, sa_type=Text(collation="C"))
    avatar: str | None = Field(default=None, sa_type=Text)
    bio: str | None = Field(default=None, sa_type=Text)
    created_at: datetime = created()
    # A trigger takes it away when the email changes.
    email_verified_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    post_count: int = counter()
    follower_count: int = counter()
    following_count: int = counter()
    role: str = Field(default=None, sa_type=Text, nullable=False, sa_column_kwargs={"server_default": "user"})
    # A suspended account has no sessions, and what it wrote is hidden: triggers see to both.
    suspended_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    suspended_reason: str | None = Field(default=None, sa_type=Text)

    posts: list["Post"] = related("user")
    likes: list["Like"] = related("user")
    sessions: list["Session"] = related("user")
    devices: list["Device"] = related("user")
    following: list["Social"] = related("follower", foreign_keys="Social.follower_id")
    followers: list["Social"] = related("followed", foreign_keys="Social.followed_id")


class Social(SQLModel, table=True):
    """That one user follows another."""

    __table_args__ = (CheckConstraint("follower_id <> followed_id", name="not_self"),)

    follower_id: int = reference("user.id", primary_key=True)
    followed_id: int = reference("user.id", primary_key=True)
    date: datetime = created()

    follower: User = related("following", foreign_keys="Social.follower_id")
    followed: User = related("followers", foreign_keys="Social.followed_id")


users = User.__table__  # type: ignore[attr-defined]
social = Social.__table__  # type: ignore[attr-defined]

# Unique ignoring case.
Index("user_username_key", func.lower(users.c.username), unique=True)
Index("user_email_key", func.lower(users.c.email), unique=True)
# A search for the start of a name is a range in these; fold(), made by the first migration, drops case and accents.
Index("user_username_search", func.fold(users.c.username))
Index("user_name_search", func.fold(users.c.name))
# For whether there is an admin left.
Index("user_admins", users.c.id, postgresql_where=users.c.role == literal_column("'admin'"))
# The lists of followers and followed, newest first.
Index("social_followers", social.c.followed_id, social.c.date, social.c.follower_id)
Index("social_following", social.c.follower_id, social.c.date, social.c.followed_id)


class UserRequest(Request):
    """To register."""

    email: Email
    username: Username
    password: Password
    name: Name | None = None
    avatar: Avatar | None = None
    bio: Bio | None = None

    @field_validator("password")
    @classmethod
    def is_not_a_name(cls, password: str, info: ValidationInfo) -> str:
        return own(password, info.data.get("username"), info.data.get("email"))


class UserUpdate(Request):
    """To change one's own profile: what is not sent stays, and null empties name, avatar or bio."""

    email: Email = None  # type: ignore[assignment]  # absent is not null: null is refused
    username: Username = None  # type: ignore[assignment]
    name: Name | None = None
    avatar: Avatar | None = None
    bio: Bio | None = None


class PasswordChange(Request):
    """To change one's own password."""

    current_password: str = Field(max_length=256)
    new_password: Password


class AccountDeletion(Request):
    """To leave: the password once more."""

    password: str = Field(max_length=256)


class UserSummary(Answer):
    """A person, as shown beside a post or a like."""

    id: Id
    username: Username
    name: str | None
    avatar: str | None


class UserResponse(UserSummary):
    """A person's profile. The last two are null when nobody is signed in."""

    bio: str | None
    created_at: Instant
    post_count: Count
    follower_count: Count
    following_count: Count
    is_following: bool | None
    is_followed_by: bool | None


class MeResponse(UserResponse):
    """One's own profile."""

    email: str
