"""The timeline: what those whom a viewer follows wrote, newest first.

docs/performance.md has the measurements behind its form. There are two ways to a page:

- Among the newest posts of all, for those who follow many: most of these find a page's worth before long.
- From the latest post of each followed. Only those whose latest is among the newest page's worth can have anything on
  the page, and nothing older than all of these latest can be on it.

The first is tried for about as long as the second will take, so neither the number of the followed nor their silence
makes a page cost much more than it has to.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import CTE, FromClause, Select, case, func, select, true, union_all

from pamps.db.statement import Statement
from pamps.models.post import posts
from pamps.models.user import social, users
from pamps.queries.post import post_json, without_replies
from pamps.queries.sql import LIMIT, VIEWER, Column, beyond, own, page_of, visible_to
from pamps.queries.version import keepable, version, versions_of

# Whoever follows more than FEW has FURTHER newest posts looked through for each one more.
FEW, FURTHER = 100, 5

followed = select(social.c.followed_id).where(social.c.follower_id == VIEWER)


def among_the_newest(include_replies: bool) -> CTE:
    """The ids of a page's worth of posts by the followed, found among the newest posts of all; or too few of them."""
    all_posts = select(posts.c.id, posts.c.user_id).where(beyond([posts.c.id], False), visible_to(VIEWER, posts))
    how_far = select(func.greatest(users.c.following_count - FEW, 0) * FURTHER).where(users.c.id == VIEWER)
    recent = (
        without_replies(all_posts, include_replies)
        .order_by(posts.c.id.desc())
        .limit(how_far.scalar_subquery())
        .subquery("recent")
    )
    by_the_followed = recent.c.user_id.in_(followed).is_(true())  # a join would read all that are recent
    return select(recent.c.id).where(by_the_followed).order_by(recent.c.id.desc()).limit(LIMIT + 1).cte("newest")


def of_each(include_replies: bool, unless: Column) -> Select[Any]:
    """The ids of posts by the followed, the page's worth among them, found from the latest of each of them."""

    def written_by(author: Column, *further: Column) -> Select[Any]:
        theirs = select(posts.c.id).where(posts.c.user_id == author, beyond([posts.c.id], False), *further)
        return without_replies(theirs.where(visible_to(VIEWER, posts)), include_replies).order_by(posts.c.id.desc())

    latest = written_by(social.c.followed_id).limit(1).lateral("latest")
    authors = (
        followed.add_columns(latest.c.id)
        .join(latest, true())
        .where(~unless)
        .order_by(latest.c.id.desc())
        .limit(LIMIT + 1)
        .cte("authors")
    )
    oldest = select(case((func.count() > LIMIT, func.min(authors.c.id)), else_=0)).scalar_subquery()
    theirs = written_by(authors.c.followed_id, posts.c.id >= oldest).limit(LIMIT + 1).lateral("theirs")
    return select(theirs.c.id).select_from(authors).join(theirs, true())


def timeline_of(include_replies: bool) -> Statement:
    newest = among_the_newest(include_replies)
    enough = select(func.count()).select_from(newest).scalar_subquery() > LIMIT
    found = union_all(select(newest.c.id).where(enough), of_each(include_replies, unless=enough)).subquery("found")
    page = select(found.c.id).order_by(found.c.id.desc()).limit(LIMIT + 1).subquery("ids")
    rows = select(posts).join(page, page.c.id == posts.c.id)

    def answer(rows: Select[Any], versions: Callable[[FromClause], Column] | None = None) -> Select[Any]:
        return own(page_of(rows, post_json, posts.c.id, versions=versions))

    # Who publishes or deletes a post changes their own counter, and who follows somebody theirs.
    people = followed.union_all(select(users.c.id).where(users.c.id == VIEWER))
    few = select(users.c.following_count <= FEW).where(users.c.id == VIEWER).scalar_subquery()
    versioned = answer(rows.add_columns(*version(posts)), lambda found: versions_of(found, people, if_=few))
    return keepable(answer(rows), versioned)


timeline_with_replies, timeline_without_replies = timeline_of(True), timeline_of(False)
