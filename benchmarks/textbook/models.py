"""Tables, and the models of what goes in and out."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import registry
from sqlmodel import Field, Relationship, SQLModel

# Lists of entities load what they refer to with one more query for all of them.
SELECTIN: dict[str, Any] = {"lazy": "selectin"}


class Table(SQLModel, registry=registry()):
    """A registry of its own, as Pamps has tables of the same names."""


class UserBase(SQLModel):
    username: str
    name: str | None = None
    avatar: str | None = None


class User(UserBase, Table, table=True):
    id: int | None = Field(default=None, primary_key=True)
    email: str
    password_hash: str
    bio: str | None = None
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    post_count: int = 0
    follower_count: int = 0
    following_count: int = 0

    posts: list["Post"] = Relationship(back_populates="user")


class Social(Table, table=True):
    follower_id: int = Field(foreign_key="user.id", primary_key=True)
    followed_id: int = Field(foreign_key="user.id", primary_key=True)
    date: datetime = Field(default_factory=lambda: datetime.now(UTC))


class PostBase(SQLModel):
    text: str = Field(min_length=1, max_length=5000)
    parent_id: int | None = Field(default=None, foreign_key="post.id")


class Post(PostBase, Table, table=True):
    id: int | None = Field(default=None, primary_key=True)
    user_id: int | None = Field(default=None, foreign_key="user.id")
    date: datetime = Field(default_factory=lambda: datetime.now(UTC))
    edited_at: datetime | None = None
    like_count: int = 0
    reply_count: int = 0

    user: User | None = Relationship(back_populates="posts", sa_relationship_kwargs=SELECTIN)

    @property
    def deleted(self) -> bool:
        return self.user_id is None


class Like(Table, table=True):
    user_id: int = Field(foreign_key="user.id", primary_key=True)
    post_id: int = Field(foreign_key="post.id", primary_key=True)
    date: datetime = Field(default_factory=lambda: datetime.now(UTC))


class UserSummary(UserBase):
    id: int


class UserPublic(UserSummary):
    bio: str | None
    created_at: datetime
    post_count: int
    follower_count: int
    following_count: int
    is_following: bool | None = None
    is_followed_by: bool | None = None


class PostCreate(PostBase):
    pass


class PostPublic(PostBase):
    id: int
    date: datetime
    edited_at: datetime | None
    user_id: int | None
    user: UserSummary | None
    deleted: bool
    like_count: int
    reply_count: int
    liked: bool | None = None


class PostPublicWithReplies(PostPublic):
    replies: list[PostPublic] = []


class Token(SQLModel):
    access_token: str
    token_type: str = "bearer"
