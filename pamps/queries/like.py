"""Likes: give, take back, and list from both sides."""

from sqlalchemy import delete, exists, select
from sqlalchemy.dialects.postgresql import insert

from pamps.db.statement import Statement
from pamps.errors import PostNotFound, UserNotFound
from pamps.models.post import likes, posts
from pamps.models.user import users
from pamps.queries.post import post_json, visible
from pamps.queries.sql import (
    FALSE,
    ID,
    TRUE,
    USERNAME,
    VIEWER,
    after,
    one,
    own,
    page_of,
    reading,
    shown_to,
    signed_in,
    visible_to,
)
from pamps.queries.user import user_id_of, user_summary

like_made = (
    insert(likes)
    .from_select(
        ["user_id", "post_id"],
        select(VIEWER, posts.c.id).where(posts.c.id == ID, visible_to(VIEWER, posts), signed_in()),
    )
    .on_conflict_do_nothing()
    .returning(likes.c.post_id)
    .cte("made")
)
like = Statement(
    select(
        select(post_json(posts, like_count=after(posts.c.like_count, "+", like_made), liked=TRUE))
        .where(posts.c.id == ID, visible_to(VIEWER, posts))
        .scalar_subquery()
        .label("body"),
        exists().select_from(like_made).label("created"),
    ).where(signed_in()),
    missing=PostNotFound,
)

# Locked first, as deleting the post does, which takes its likes along: else each could wait for the other for ever.
locked = (
    select(posts)
    .where(posts.c.id == ID, visible_to(VIEWER, posts), signed_in())
    .with_for_update(key_share=True)
    .cte("locked")
)
like_gone = (
    delete(likes)
    .where(likes.c.user_id == VIEWER, likes.c.post_id == locked.c.id)
    .returning(likes.c.post_id)
    .cte("gone")
)
unlike = Statement(
    own(one(select(post_json(locked, like_count=after(locked.c.like_count, "-", like_gone), liked=FALSE)))),
    missing=PostNotFound,
)

likers = (
    select(users, likes.c.date, likes.c.user_id)
    .join(likes, likes.c.user_id == users.c.id)
    .where(likes.c.post_id == ID, shown_to(VIEWER, users))
)
liked_by = Statement(
    reading(page_of(likers, user_summary, likes.c.date, likes.c.user_id, of=exists(visible(ID)))),
    missing=PostNotFound,
)

liker = user_id_of(USERNAME)
liked_at = likes.c.date.label("liked_at")
liked = (
    select(posts, liked_at, likes.c.post_id)
    .join(likes, likes.c.post_id == posts.c.id)
    .where(likes.c.user_id == liker, visible_to(VIEWER, posts))
)
liked_posts = Statement(
    reading(page_of(liked, post_json, liked_at, likes.c.post_id, of=liker.is_not(None))),
    missing=UserNotFound,
)
