"""People: register, find, change, leave."""

from typing import Any

from sqlalchemy import (
    Double,
    FromClause,
    Text,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal_column,
    null,
    select,
    union,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert

from pamps.db.statement import Statement
from pamps.errors import UserNotFound
from pamps.models.session import sessions
from pamps.models.two_factor import two_factors
from pamps.models.user import MeResponse, UserResponse, UserSummary, social, users
from pamps.queries.attempt import ACCOUNT_FREE, by_session, forgiven, guess, taken_back
from pamps.queries.mail import noticed
from pamps.queries.sql import (
    SEEN,
    SESSION,
    USERNAME,
    VIEWER,
    Column,
    anyone,
    if_signed_in,
    instant,
    one,
    own,
    page_of,
    reading,
    same,
    shaped,
    shown_to,
    signed_in,
    starts_with,
)

PROFILE = ("email", "username", "name", "avatar", "bio")


def user_summary(user: FromClause) -> Column:
    """The UserSummary of a row of users."""
    return shaped(UserSummary, id=user.c.id, username=user.c.username, name=user.c.name, avatar=user.c.avatar)


def follows(follower: Column, followed: Column) -> Column:
    """That one user follows another."""
    return exists().where(social.c.follower_id == follower, social.c.followed_id == followed)


def profile(user: FromClause, **known: Column) -> dict[str, Any]:
    """The columns of a UserResponse; `known` are those that the statement has just changed."""
    columns = dict(
        id=user.c.id,
        username=user.c.username,
        name=user.c.name,
        avatar=user.c.avatar,
        bio=user.c.bio,
        created_at=instant(user.c.created_at),
        post_count=user.c.post_count,
        follower_count=user.c.follower_count,
        following_count=user.c.following_count,
        is_following=if_signed_in(follows(VIEWER, user.c.id)),
        is_followed_by=if_signed_in(follows(user.c.id, VIEWER)),
    )
    return {**columns, **known}


def user_json(user: FromClause, **known: Column) -> Column:
    """The UserResponse of a row of users."""
    return shaped(UserResponse, **profile(user, **known))


def me_json(user: FromClause) -> Column:
    """The MeResponse of a row of users."""
    return shaped(MeResponse, **profile(user), email=user.c.email)


def user_id_of(username: Column) -> Column:
    """The id behind a username, ignoring case; null where there is nobody to be seen."""
    return select(users.c.id).where(same(users.c.username, username), shown_to(VIEWER, users)).scalar_subquery()


ACCOUNT = (*PROFILE, "password_hash", "role")
registered = (
    insert(users)
    .from_select(ACCOUNT, select(*(bindparam(name, type_=Text) for name in ACCOUNT)).where(anyone()))
    .returning(users)
    .cte("registered")
)
register = Statement(select(user_json(registered).label("body")))

find = Statement(
    reading(one(select(user_json(users)).where(same(users.c.username, USERNAME), shown_to(VIEWER, users)))),
    missing=UserNotFound,
)

me = Statement(own(one(select(me_json(users)).where(users.c.id == VIEWER))))

everyone = Statement(reading(page_of(select(users).where(shown_to(VIEWER, users)), user_json, users.c.id)))

# Two ranges in two indexes, found before anything else: read by date and compared one by one, the beginning of many
# names that no recent user has would take the time of all users.
Q = bindparam("q", type_=Text)
matching = (
    union(
        *(
            select(users.c.id).where(starts_with(column, Q), shown_to(VIEWER, users))
            for column in (users.c.username, users.c.name)
        )
    )
    .cte("matching")
    .prefix_with("MATERIALIZED")
)


def user_with(match: FromClause) -> Column:
    """The UserResponse of an id. Joined to it, all users could be read by date after all."""
    return select(user_json(users)).where(users.c.id == match.c.id).scalar_subquery()


search = Statement(reading(page_of(select(matching), user_with, matching.c.id)))

# What is not among the changes stays as it is; a null among them empties the column. The row is locked first, so that
# the email of before, which is told of a new one, is the one before whoever changes it at the same time.
# Whoever has the email gets a new password by it: another one takes a sign-in that was not long ago, and no token that
# may have been stolen since.
CHANGES = bindparam("changes", type_=JSONB)
LATELY = func.clock_timestamp() - func.make_interval(0, 0, 0, 0, 0, 0, bindparam("lately", type_=Double))
before = (
    select(users.c.id, users.c.email)
    .where(users.c.id == VIEWER, signed_in())
    .with_for_update(key_share=True)
    .cte("before")
)
too_late = and_(
    CHANGES.has_key("email"),
    CHANGES["email"].astext != before.c.email,
    ~exists().where(sessions.c.id == SESSION, sessions.c.created_at > LATELY),
)
changed = (
    update(users)
    .where(users.c.id == before.c.id, ~too_late)
    .values({name: case((CHANGES.has_key(name), CHANGES[name].astext), else_=users.c[name]) for name in PROFILE})
    .returning(users, before.c.email.label("email_before"))
    .cte("changed")
)
email_before = case((changed.c.email_before != changed.c.email, changed.c.email_before))
change = Statement(
    select(
        case((too_late, literal_column("'recent-sign-in-needed'"))).label("refused"),
        select(me_json(changed)).scalar_subquery().label("body"),
        select(noticed("email_changed", changed, email_before)).scalar_subquery(),
    ).select_from(before)
)

# What guesses at one's own password are held against. Aside: a guess counts, and no connection waits for the hashing.
proof = Statement(
    select(
        users.c.password_hash,
        users.c.username,
        users.c.email,
        two_factors.c.enabled_at.is_not(None).label("enabled"),
        two_factors.c.secret,
        two_factors.c.last_step,
        two_factors.c.recovery_codes,
        guess((by_session(SESSION), ACCOUNT_FREE)).label("wait"),
    )
    .select_from(users.outerjoin(two_factors, two_factors.c.user_id == users.c.id))
    .where(users.c.id == VIEWER, signed_in()),
    aside=True,
)

# Guarded by the hash that was verified: whoever changes a password at the same time makes this one find nothing.
changed_password = (
    update(users)
    .where(users.c.id == VIEWER, users.c.password_hash == SEEN, signed_in())
    .values(password_hash=bindparam("password_hash", type_=Text))
    .returning(users.c.id, users.c.username, users.c.email)
    .cte("changed_password")
)
# By a second factor: its codes have been guessed too, and the password alone forgives none of that.
guarded = exists().where(two_factors.c.user_id == changed_password.c.id, two_factors.c.enabled_at.is_not(None))
change_password = Statement(
    select(
        func.end_sessions(changed_password.c.id, SESSION),
        case((guarded, taken_back(by_session(SESSION))), else_=forgiven(changed_password.c.id, by_session(SESSION))),
        noticed("password_changed", changed_password),
    )
)

# Patient: the posts of an account become tombstones or go, and its likes and follows go, however many they are.
leave = Statement(
    delete(users).where(users.c.id == VIEWER, users.c.password_hash == SEEN, signed_in()).returning(users.c.id),
    patient=True,
)

names = Statement(select(users.c.username, users.c.email).where(same(users.c.username, USERNAME)))

# For `pamps passwd`: whoever may run commands may set a password, and every session of that user ends.
set_by_operator = (
    update(users)
    .where(same(users.c.username, USERNAME))
    .values(password_hash=bindparam("password_hash", type_=Text))
    .returning(users.c.id, users.c.username, users.c.email)
    .cte("set_by_operator")
)
set_password = Statement(
    select(
        func.end_sessions(set_by_operator.c.id, null()),
        forgiven(set_by_operator.c.id),
        noticed("password_changed", set_by_operator),
    )
)
