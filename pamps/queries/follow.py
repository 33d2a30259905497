"""Follows: begin, end, and list from both sides."""

from sqlalchemy import and_, delete, exists, func, select
from sqlalchemy.dialects.postgresql import insert

from pamps.db.statement import Statement
from pamps.errors import UserNotFound
from pamps.models.user import social, users
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
)
from pamps.queries.user import user_id_of, user_json

# The one to follow: by id, or by username.
WHOM = func.coalesce(ID, user_id_of(USERNAME))
whom = and_(users.c.id == WHOM, shown_to(VIEWER, users))
follow_made = (
    insert(social)
    .from_select(["follower_id", "followed_id"], select(VIEWER, users.c.id).where(whom, signed_in()))
    .on_conflict_do_nothing()
    .returning(social.c.followed_id)
    .cte("made")
)
follow = Statement(
    select(
        select(user_json(users, follower_count=after(users.c.follower_count, "+", follow_made), is_following=TRUE))
        .where(whom)
        .scalar_subquery()
        .label("body"),
        exists().select_from(follow_made).label("created"),
    ).where(signed_in()),
    missing=UserNotFound,
)

follow_gone = (
    delete(social)
    .where(social.c.follower_id == VIEWER, social.c.followed_id == users.c.id, whom, signed_in())
    .returning(social.c.followed_id)
    .cte("gone")
)
unfollowed = user_json(users, follower_count=after(users.c.follower_count, "-", follow_gone), is_following=FALSE)
unfollow = Statement(own(one(select(unfollowed).where(whom))), missing=UserNotFound)


def people(side: str, other: str) -> Statement:
    """Those on one side of a user's follows, newest first; a null body where there is no such user."""
    whose = user_id_of(USERNAME)
    rows = (
        select(users, social.c.date, social.c[side])
        .join(social, social.c[side] == users.c.id)
        .where(social.c[other] == whose, shown_to(VIEWER, users))
    )
    page = page_of(rows, user_json, social.c.date, social.c[side], of=whose.is_not(None))
    return Statement(reading(page), missing=UserNotFound)


followers = people("follower_id", "followed_id")
following = people("followed_id", "follower_id")
