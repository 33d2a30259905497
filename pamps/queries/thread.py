"""A post in its thread: what it replies to, and what was replied to it."""

from sqlalchemy import BigInteger, bindparam, func, literal, select
from sqlalchemy.dialects.postgresql import array

from pamps.db import Statement
from pamps.errors import PostNotFound
from pamps.models.post import ThreadResponse, posts
from pamps.queries.post import post_json
from pamps.queries.sql import VIEWER, array_of, one, reading, shaped, visible_to

ID = bindparam("id", type_=BigInteger)
THREAD_MAX = 500  # descendants that one thread shows

# A thread: up to the root, and down depth-first. Of each level only the first THREAD_MAX + 1 in depth-first order are
# followed further, and no deeper than THREAD_MAX levels: nothing behind those can be among the first THREAD_MAX of all.
MORE = THREAD_MAX + 1
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

first_path = array([posts.c.id]).label("path")
first_level = select(posts.c.id, first_path).where(posts.c.parent_id == ID).order_by(posts.c.id).limit(MORE)
under = select(first_level.subquery("first_level")).cte("down", recursive=True)
below = posts.alias("below")
path = func.array_append(under.c.path, below.c.id).label("path")
level = (
    select(below.c.id, path)
    .join(under, below.c.parent_id == under.c.id)
    .where(func.cardinality(under.c.path) <= THREAD_MAX)
    .order_by(path)
    .limit(MORE)
)
down = under.union_all(select(level.subquery("level")))
first = select(down).order_by(down.c.path).limit(THREAD_MAX).subquery("first")
descendants = (
    select(posts, first.c.path)
    .join(first, posts.c.id == first.c.id)
    .where(visible_to(VIEWER, posts, in_thread=True))
    .subquery("descendants")
)

whole = shaped(
    ThreadResponse,
    ancestors=select(array_of(post_json(ancestors), ancestors.c.height.desc())).scalar_subquery(),
    post=post_json(posts),
    descendants=select(array_of(post_json(descendants), descendants.c.path)).scalar_subquery(),
    truncated=select(func.count() > THREAD_MAX).select_from(down).scalar_subquery(),
)
thread = Statement(
    reading(one(select(whole).where(posts.c.id == ID, visible_to(VIEWER, posts, in_thread=True)))), missing=PostNotFound
)
