"""Posts, replies and likes: the tables `post` and `like`, and under them the shapes that clients see."""

from datetime import datetime
from typing import Optional

from sqlalchemy import CheckConstraint, Index, Text, and_, false
from sqlmodel import Field, SQLModel, UTCDateTime

from pamps.models.base import counter, created, identity, reference, related
from pamps.models.shape import Answer, Count, Id, Instant, Request
from pamps.models.shape import Text as PostText
from pamps.models.user import User, UserSummary


class Post(SQLModel, table=True):
    """A post, or a reply to one. Without a user it is a tombstone: it was deleted and still has replies under it."""

    __table_args__ = (
        CheckConstraint("(user_id IS NULL) = (text = '')", name="tombstone"),
        # Whoever guesses the id that comes next could else reply to the reply itself.
        CheckConstraint("parent_id <> id", name="not_own_parent"),
        CheckConstraint("NOT (hidden AND user_id IS NULL)", name="hidden"),
    )

    id: int | None = identity()
    user_id: int | None = reference("user.id", "SET NULL", nullable=True)
    parent_id: int | None = reference("post.id", None, nullable=True, default=None)
    text: str = Field(sa_type=Text)
    date: datetime = created()
    edited_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    like_count: int = counter()
    reply_count: int = counter()
    # Whether its author is suspended; kept by triggers, so that a list needs not look at every author.
    hidden: bool = Field(default=None, nullable=False, sa_column_kwargs={"server_default": false()})

    user: User | None = related("posts")
    parent: Optional["Post"] = related("replies", remote_side="Post.id")
    replies: list["Post"] = related("parent")
    likes: list["Like"] = related("post")


class Like(SQLModel, table=True):
    """That a user likes a post."""

    user_id: int = reference("user.id", primary_key=True)
    post_id: int = reference("post.id", primary_key=True)
    date: datetime = created()

    user: User = related("likes")
    post: Post = related("likes")


posts = Post.__table__  # type: ignore[attr-defined]
likes = Like.__table__  # type: ignore[attr-defined]

SEEN = posts.c.user_id.is_not(None), ~posts.c.hidden

# The public list; one person's posts, with and without replies (a timeline reads these too); the replies to a post, and
# all that is under it.
Index("post_public", posts.c.id, postgresql_where=and_(posts.c.parent_id.is_(None), *SEEN))
Index("post_by_user", posts.c.user_id, posts.c.hidden, posts.c.id)
Index(
    "post_by_user_no_replies",
    posts.c.user_id,
    posts.c.id,
    postgresql_where=and_(posts.c.parent_id.is_(None), ~posts.c.hidden),
)
Index("post_replies", posts.c.parent_id, posts.c.id, postgresql_where=and_(posts.c.parent_id.is_not(None), *SEEN))
Index("post_under", posts.c.parent_id, posts.c.id, postgresql_where=posts.c.parent_id.is_not(None))
# Who liked a post, and what somebody liked, newest first.
Index("like_by_post", likes.c.post_id, likes.c.date, likes.c.user_id)
Index("like_by_user", likes.c.user_id, likes.c.date, likes.c.post_id)


class PostRequest(Request):
    """To publish a post, or with `parent_id` a reply. `post.max_length` bounds the text."""

    text: PostText
    parent_id: Id | None = None


class PostUpdate(Request):
    """To edit a post."""

    text: PostText


class PostResponse(Answer):
    """A post. `liked` is null when nobody is signed in; a tombstone has `deleted` true, no text and no user."""

    id: Id
    text: str
    date: Instant
    edited_at: Instant | None
    user_id: Id | None
    parent_id: Id | None
    user: UserSummary | None
    deleted: bool
    like_count: Count
    reply_count: Count
    liked: bool | None


class PostResponseWithReplies(PostResponse):
    """A post and the first page of its direct replies, oldest first."""

    replies: list[PostResponse]


class ThreadResponse(Answer):
    """A post in its thread: ancestors from the root down, descendants depth-first; `truncated` if there were more."""

    ancestors: list[PostResponse]
    post: PostResponse
    descendants: list[PostResponse]
    truncated: bool
