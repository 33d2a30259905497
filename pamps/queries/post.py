"""Posts: publish, read, edit, delete, reply."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    BigInteger,
    FromClause,
    Select,
    Text,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from pamps.db.statement import Statement
from pamps.errors import PostNotFound, UserNotFound
from pamps.models.post import PostResponse, PostResponseWithReplies, likes, posts
from pamps.models.user import users
from pamps.queries.sql import (
    ID,
    USERNAME,
    VIEWER,
    Column,
    array_of,
    author_only,
    if_signed_in,
    instant,
    one,
    page_of,
    reading,
    shaped,
    signed_in,
    visible_to,
)
from pamps.queries.user import user_id_of, user_summary
from pamps.queries.version import keepable, version, versions_of

PARENT = bindparam("parent_id", type_=BigInteger)
TEXT = bindparam("text", type_=Text)

FIRST_REPLIES = 20  # the first page of replies that comes with a post


def likes_it(post: FromClause) -> Column:
    """That the viewer likes a post."""
    return exists().where(likes.c.user_id == VIEWER, likes.c.post_id == post.c.id)


def columns(post: FromClause, **known: Column) -> dict[str, Any]:
    """The columns of a PostResponse; `known` are those that the statement has just changed."""
    author = users.alias()
    found = dict(
        id=post.c.id,
        text=post.c.text,
        date=instant(post.c.date),
        edited_at=instant(post.c.edited_at),
        user_id=post.c.user_id,
        parent_id=post.c.parent_id,
        user=select(user_summary(author)).where(author.c.id == post.c.user_id).scalar_subquery(),
        deleted=post.c.user_id.is_(None),
        like_count=post.c.like_count,
        reply_count=post.c.reply_count,
        liked=if_signed_in(likes_it(post)),
    )
    return {**found, **known}


def post_json(post: FromClause, **known: Column) -> Column:
    """The PostResponse of a row of posts."""
    return shaped(PostResponse, **columns(post, **known))


def thread_json(post: FromClause) -> Column:
    """The PostResponse of a row of posts in a thread, where what is hidden is shown as a tombstone."""
    shown = ~post.c.hidden
    known = columns(post)
    bare = {name: case((shown, known[name])) for name in ("edited_at", "user_id", "user")}
    return post_json(
        post,
        **bare,
        text=case((shown, post.c.text), else_=literal_column("''")),
        deleted=or_(known["deleted"], post.c.hidden),
        like_count=case((shown, post.c.like_count), else_=literal_column("0")),
        liked=if_signed_in(and_(shown, likes_it(post))),
    )


def visible(post_id: Column) -> Select[Any]:
    """The post with an id, if the viewer may see it."""
    return select(posts).where(posts.c.id == post_id, visible_to(VIEWER, posts))


# A parent that is not there, or a tombstone, is the foreign key's and the trigger's to refuse.
published = (
    insert(posts)
    .from_select(["user_id", "parent_id", "text"], select(VIEWER, PARENT, TEXT).where(signed_in()))
    .returning(posts)
    .cte("published")
)
publish = Statement(select(published.c.id, post_json(published).label("body")))

replies_of = select(posts).where(posts.c.parent_id == ID, visible_to(VIEWER, posts))
# Most posts have fewer replies, so a plan that knew the number would read all of a post's, to sort them.
FIRST = select(literal(FIRST_REPLIES)).scalar_subquery()
first_replies = replies_of.order_by(posts.c.id).limit(FIRST).subquery("reply")
with_replies = shaped(
    PostResponseWithReplies,
    **columns(posts),
    replies=select(array_of(post_json(first_replies), first_replies.c.id)).scalar_subquery(),
)
answer = one(select(with_replies).where(posts.c.id == ID, visible_to(VIEWER, posts)))

# A reply changes the counter of the post. But whoever is suspended, or let back, changes none: so the versions of what
# is shown tell all where it is the very first of what is under the post.
rows_of_posts = select(posts.c.id, posts.c.user_id, posts.c.hidden, *version(posts))
under = rows_of_posts.where(posts.c.parent_id == ID).order_by(posts.c.id).limit(FIRST)
shown = rows_of_posts.where(posts.c.id == ID).union_all(select(under.subquery())).cte("shown")
all_shown = select(func.bool_and(and_(shown.c.user_id.is_not(None), ~shown.c.hidden))).scalar_subquery()
versions = versions_of(shown, select(shown.c.user_id), if_=all_shown)

read = keepable(reading(answer), reading(answer.add_columns(versions)), PostNotFound)

replies = Statement(
    reading(page_of(replies_of, post_json, posts.c.id, oldest_first=True, of=exists(visible(ID)))),
    missing=PostNotFound,
)

home = Statement(
    reading(page_of(select(posts).where(posts.c.parent_id.is_(None), visible_to(VIEWER, posts)), post_json, posts.c.id))
)


def without_replies(query: Select[Any], include_replies: bool) -> Select[Any]:
    return query if include_replies else query.where(posts.c.parent_id.is_(None))


def by_user(include_replies: bool) -> Statement:
    """What one person wrote, newest first; a null body where there is no such user."""
    author = user_id_of(USERNAME)
    rows = without_replies(select(posts).where(posts.c.user_id == author, visible_to(VIEWER, posts)), include_replies)

    def page(rows: Select[Any], versions: Callable[[FromClause], Column] | None = None) -> Select[Any]:
        return reading(page_of(rows, post_json, posts.c.id, of=author.is_not(None), versions=versions))

    # Who publishes or deletes a post changes their own counter, and who is suspended or let back their own row.
    versioned = page(rows.add_columns(*version(posts)), lambda found: versions_of(found, select(author)))
    return keepable(page(rows), versioned, UserNotFound)


by_user_with_replies, by_user_without_replies = by_user(True), by_user(False)

# Edit and delete: 404 for whoever may not see the post, 403 for whoever did not write it.
target = (
    select(posts.c.id, posts.c.user_id).where(posts.c.id == ID, visible_to(VIEWER, posts), signed_in()).cte("target")
)
edited = (
    update(posts)
    .where(posts.c.id == target.c.id, posts.c.user_id == VIEWER)
    .values(text=TEXT, edited_at=func.clock_timestamp())
    .returning(posts)
    .cte("edited")
)
edit = Statement(
    select(
        author_only(target, PostNotFound.code).label("refused"),
        select(post_json(edited)).scalar_subquery().label("body"),
    ).where(signed_in()),
    missing=PostNotFound,
)

# Locked first, so that a reply that is just being written is either seen under the tombstone or finds no parent.
locked = (
    select(posts.c.id, posts.c.user_id)
    .where(posts.c.id == ID, visible_to(VIEWER, posts), signed_in())
    .with_for_update()
    .cte("locked")
)
emptied = (
    update(posts)
    .where(posts.c.id == locked.c.id, posts.c.user_id == VIEWER)
    .values(user_id=null())
    .returning(posts.c.id)
    .cte("emptied")
)
delete = Statement(
    select(author_only(locked, PostNotFound.code).label("refused")).where(signed_in()).add_cte(emptied),
)
