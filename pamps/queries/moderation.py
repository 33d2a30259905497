"""Moderation: suspend and let back, give roles, delete what others wrote. Who may do so is checked in the statement."""

from typing import Any

from sqlalchemy import (
    FromClause,
    Text,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    update,
)

from pamps.db.statement import Statement
from pamps.errors import UserNotFound
from pamps.models.moderation import StandingResponse
from pamps.models.post import posts
from pamps.models.user import users
from pamps.queries.sql import ID, USERNAME, VIEWER, Column, instant, own, same, shaped, signed_in

ROLE = bindparam("role", type_=Text)
REASON = bindparam("reason", type_=Text)

SUSPENDED = {"suspended_at": func.coalesce(users.c.suspended_at, func.clock_timestamp()), "suspended_reason": REASON}
LET_BACK = {"suspended_at": null(), "suspended_reason": null()}


def standing_json(user: FromClause) -> Column:
    """The StandingResponse of a row of users."""
    return shaped(
        StandingResponse,
        id=user.c.id,
        username=user.c.username,
        role=user.c.role,
        suspended_at=instant(user.c.suspended_at),
        suspended_reason=user.c.suspended_reason,
    )


def viewer_is(*roles: str) -> Column:
    """That the viewer has one of these roles."""
    viewer = users.alias("viewer")
    return exists().where(viewer.c.id == VIEWER, viewer.c.role.in_(roles))


STAFF, ADMIN = viewer_is("moderator", "admin"), viewer_is("admin")

# Locked, so that a role that is just given counts.
target = (
    select(users.c.id, users.c.role)
    .where(same(users.c.username, USERNAME), signed_in())
    .with_for_update(key_share=True)
    .cte("target")
)
# A moderator has no say over other moderators and admins. Nobody suspends themselves; an admin may give up their role.
over_target = and_(target.c.id != VIEWER, or_(and_(STAFF, target.c.role == literal_column("'user'")), ADMIN))


def changed(allowed: Column, values: dict[str, Any], patient: bool = False) -> Statement:
    """A change of the target's row by whoever is allowed to make it."""
    done = update(users).where(users.c.id == target.c.id, allowed).values(values).returning(users).cte("done")
    refused = case(
        (~STAFF, literal_column("'not-allowed'")),
        (~exists().select_from(target), literal_column(f"'{UserNotFound.code}'")),
        (~exists().where(allowed), literal_column("'not-allowed'")),
    )
    answer = select(refused.label("refused"), select(standing_json(done)).scalar_subquery().label("body"))
    return Statement(own(answer), missing=UserNotFound, patient=patient)


# Patient: all that somebody wrote is hidden, or shown again.
suspend = changed(over_target, SUSPENDED, patient=True)
let_back = changed(over_target, LET_BACK, patient=True)
give_role = changed(and_(target.c.id == target.c.id, ADMIN), {"role": ROLE})

standing = Statement(
    own(
        select(
            case((~STAFF, literal_column("'not-allowed'"))).label("refused"),
            select(standing_json(users)).where(same(users.c.username, USERNAME)).scalar_subquery().label("body"),
        )
    ),
    missing=UserNotFound,
)


def by_operator(values: dict[str, Any], patient: bool = False) -> Statement:
    """The same from the command line: whoever may run commands may do so."""
    found = update(users).where(same(users.c.username, USERNAME)).values(values).returning(users.c.id)
    return Statement(found, patient=patient)


suspend_by_operator = by_operator(SUSPENDED, patient=True)
let_back_by_operator = by_operator(LET_BACK, patient=True)
give_role_by_operator = by_operator({"role": ROLE})

# As an author's own delete (queries/post.py), but of any post, also of one that is hidden.
locked = (
    select(posts.c.id)
    .where(posts.c.id == ID, posts.c.user_id.is_not(None), signed_in(), STAFF)
    .with_for_update()
    .cte("locked")
)
emptied = update(posts).where(posts.c.id == locked.c.id).values(user_id=null()).returning(posts.c.id).cte("emptied")
delete_post = Statement(
    own(
        select(
            case(
                (~STAFF, literal_column("'not-allowed'")),
                (~exists().select_from(locked), literal_column("'post-not-found'")),
            ).label("refused")
        )
    ).add_cte(emptied)
)
