"""A post in its thread: what it replies to, and what was replied to it."""

from sqlalchemy import BigInteger, and_, any_, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY

from pamps.errors import PostNotFound
from pamps.models.post import ThreadResponse, posts
from pamps.queries.post import thread_json
from pamps.queries.sql import ID, VIEWER, Column, array_of, one, reading, shaped, visible_to
from pamps.queries.version import keepable, version, versions_of

THREAD_MAX = 500  # descendants that one thread shows

# Up to the root, by each one's parent.
here = (
    select(posts.c.id, posts.c.parent_id, literal(0).label("height")).where(posts.c.id == ID).cte("up", recursive=True)
)
above = posts.alias("above")
up = here.union_all(select(above.c.id, above.c.parent_id, here.c.height + 1).join(here, above.c.id == here.c.parent_id))
ancestors = (
    select(posts, up.c.height)
    .join(up, posts.c.id == up.c.id)
    .where(up.c.height > 0, visible_to(VIEWER, posts, in_thread=True))
    .subquery("ancestors")
)

# Down depth-first, a post at a time: `rest` are the posts to visit yet, those under the last one before all others, and
# no more of them than may still be shown. So no more is read than that, whatever hangs under the thread.
MORE = THREAD_MAX + 1


def replies_to(post: Column, at_most: Column) -> Column:
    """The ids of the first replies to a post."""
    theirs = posts.c.parent_id == post, visible_to(VIEWER, posts, in_thread=True)
    found = select(posts.c.id).where(*theirs).order_by(posts.c.id).limit(at_most)
    return func.array(found.scalar_subquery(), type_=ARRAY(BigInteger))


visited = select(ID.label("id"), literal(0).label("place"), replies_to(ID, literal(MORE)).label("rest")).cte(
    "down", recursive=True
)
first, left = visited.c.rest[1], MORE - visited.c.place
then = func.array_cat(replies_to(first, left), visited.c.rest[2:left], type_=ARRAY(BigInteger))
down = visited.union_all(
    select(first, visited.c.place + 1, then).where(visited.c.place < MORE, func.cardinality(visited.c.rest) > 0)
)
descendants = (
    select(posts, down.c.place)
    .join(down, posts.c.id == down.c.id)
    .where(down.c.place.between(1, THREAD_MAX))
    .subquery("descendants")
)

whole = shaped(
    ThreadResponse,
    ancestors=select(array_of(thread_json(ancestors), ancestors.c.height.desc())).scalar_subquery(),
    post=thread_json(posts),
    descendants=select(array_of(thread_json(descendants), descendants.c.place)).scalar_subquery(),
    truncated=select(func.max(down.c.place) > THREAD_MAX).select_from(down).scalar_subquery(),
)
answer = one(select(whole).where(posts.c.id == ID, visible_to(VIEWER, posts, in_thread=True)))

# A reply changes the counter of what it replies to. But whoever is suspended, or let back, changes none: so the
# versions of what is shown tell all where it is all that there is: where each reply that is counted is shown.
member_ids = select(up.c.id).union(select(down.c.id))
members = (
    select(posts, *version(posts)).where(posts.c.id == any_(func.array(member_ids.scalar_subquery()))).cte("members")
)
counted = func.sum(members.c.reply_count).filter(members.c.id.in_(select(down.c.id)))
found = select(func.max(down.c.place)).scalar_subquery()
all_shown = select(
    and_(func.bool_and(and_(members.c.user_id.is_not(None), ~members.c.hidden)), counted == found)
).scalar_subquery()
versions = versions_of(members, select(members.c.user_id), if_=all_shown)

thread = keepable(reading(answer), reading(answer.add_columns(versions)), PostNotFound)
