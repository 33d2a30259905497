"""Sign-ins: start, refresh, list and end sessions."""

from sqlalchemy import (
    BigInteger,
    Double,
    FromClause,
    LargeBinary,
    Text,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from pamps.db.statement import Statement
from pamps.errors import SessionNotFound
from pamps.models.session import SessionResponse, sessions
from pamps.models.two_factor import two_factors
from pamps.models.user import users
from pamps.queries.attempt import (
    ACCOUNT_FREE,
    ADDRESS_FREE,
    KNOWN_HERE,
    LOGIN,
    NETWORK,
    by_address,
    by_device,
    by_login,
    forgiven,
    guess,
    taken_back,
)
from pamps.queries.device import anywhere, forgotten, known_here, seen
from pamps.queries.mail import noticed
from pamps.queries.sql import (
    ID,
    SEEN,
    SESSION,
    TOKEN,
    VIEWER,
    Column,
    instant,
    one,
    own,
    page_of,
    same,
    shaped,
    sign_in,
    signed_in,
)
from pamps.queries.two_factor import on, satisfied, used

USER = bindparam("user_id", type_=BigInteger)
# By the database's clock, as it is by that one that they end; the time of a server process may be wrong, and jump.
EXPIRES = func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, bindparam("lasts", type_=Double))
FAMILY = bindparam("family_hash", type_=LargeBinary)
USER_AGENT, IP = bindparam("user_agent", type_=Text), bindparam("ip", type_=Text)
NEW_TOKEN = bindparam("new_token_hash", type_=LargeBinary)


def session_json(session: FromClause) -> Column:
    """The SessionResponse of a row of sessions."""
    return shaped(
        SessionResponse,
        id=session.c.id,
        created_at=instant(session.c.created_at),
        last_used_at=instant(session.c.last_used_at),
        user_agent=session.c.user_agent,
        ip=session.c.ip,
        current=session.c.id == SESSION,
    )


# A username has no @ in it and an email has one, so no login can mean two people. There is a row for nobody as well:
# guesses are counted whether there is such a user or not. Those at a user's two names are counted apart: together, they
# would tell whose an email is.
whoever = (
    select(
        users.c.id,
        users.c.password_hash,
        users.c.suspended_reason,
        two_factors.c.secret,
        two_factors.c.last_step,
        two_factors.c.recovery_codes,
    )
    .select_from(users.outerjoin(two_factors, and_(two_factors.c.user_id == users.c.id, on())))
    .where(or_(same(users.c.username, LOGIN), same(users.c.email, LOGIN)))
    .subquery("whoever")
)
signing_in = (
    select(whoever, known_here(whoever.c.id).label("known_here"))
    .select_from(select(literal_column("1")).subquery("somebody").outerjoin(whoever, true()))
    .cte("signing_in")
    .prefix_with("MATERIALIZED")
)
credentials = Statement(
    select(
        signing_in,
        case(
            (signing_in.c.known_here, guess((by_device(signing_in.c.id), ACCOUNT_FREE))),
            else_=guess((by_login(), ACCOUNT_FREE), (by_address(), ADDRESS_FREE)),
        ).label("wait"),
    ),
    aside=True,
)

# Of a guess that was right and starts no session: the code is still to come, the account is suspended, or the session
# was started before.
take_back = Statement(
    select(case((KNOWN_HERE, taken_back(by_device(USER))), else_=taken_back(by_login(), by_address()))), aside=True
)

upgrade_hash = Statement(
    update(users)
    .where(users.c.id == USER, users.c.password_hash == SEEN)
    .values(password_hash=bindparam("password_hash", type_=Text))
    .returning(users.c.id),
    aside=True,
)

# Guarded by the hash that was verified, and taking the chance to clear away what has expired. The user is locked, so
# that whoever changes the password or suspends the account either makes this find nothing, or waits and then ends the
# session.
swept = (
    delete(sessions)
    .where(sessions.c.user_id == USER, sessions.c.expires_at <= func.clock_timestamp())
    .returning(sessions.c.id)
    .cte("swept")
)
code = used(USER)
started = (
    insert(sessions)
    .from_select(
        ["user_id", "expires_at", "user_agent", "ip", "family_hash", "token_hash"],
        select(users.c.id, EXPIRES, USER_AGENT, IP, FAMILY, TOKEN)
        .where(
            users.c.id == USER,
            users.c.password_hash == SEEN,
            users.c.suspended_at.is_(None),
            satisfied(USER, code),
        )
        .with_for_update(read=True),
    )
    .returning(sessions.c.id, sessions.c.user_id)
    .cte("started")
)
# Told of, unless it is the first of an account that was made just now.
first = and_(~anywhere(users.c.id), users.c.created_at > func.now() - literal_column("interval '1 hour'"))
unexpected = and_(NETWORK.is_not(None), ~known_here(users.c.id), ~first)
# `known_here` is what `credentials` said: by which keys the guess was counted that now turns out to be none.
start = Statement(
    select(
        started.c.id,
        forgiven(started.c.user_id, partly=case((KNOWN_HERE, null()), else_=by_address())),
        noticed("new_login", users, case((unexpected, users.c.email)), ip=IP, user_agent=USER_AGENT),
    )
    .select_from(started.join(users, users.c.id == started.c.user_id))
    .add_cte(swept, seen(started.c.user_id), forgotten(USER)),
    instead=take_back,
)

# Of two who bring the same token at once, one gets new ones; the other waits for the row, and has brought a spent one.
of_family = and_(sessions.c.family_hash == FAMILY, sessions.c.expires_at > func.clock_timestamp())
refresh = Statement(
    update(sessions)
    .where(of_family, sessions.c.token_hash == TOKEN)
    .values(token_hash=NEW_TOKEN, last_used_at=func.clock_timestamp(), expires_at=EXPIRES)
    .returning(sessions.c.id, sessions.c.user_id)
)

# A spent token ends its session (RFC 9700, section 4.14.2). Aside: whoever brought it is refused, and that stands.
end_spent = Statement(
    delete(sessions).where(of_family, sessions.c.token_hash != TOKEN).returning(sessions.c.id), aside=True
)

revoke_by_refresh_token = Statement(delete(sessions).where(sessions.c.family_hash == FAMILY).returning(sessions.c.id))

revoke_by_access_token = Statement(
    delete(sessions).where(sessions.c.id == ID, sessions.c.user_id == USER).returning(sessions.c.id)
)

revoke_personal_token = Statement(
    delete(sessions)
    .where(sessions.c.id == ID, sessions.c.user_id == USER, ~sign_in(sessions), sessions.c.token_hash == TOKEN)
    .returning(sessions.c.id)
)

mine = Statement(
    own(
        page_of(
            select(sessions).where(
                sessions.c.user_id == VIEWER, sign_in(sessions), sessions.c.expires_at > func.clock_timestamp()
            ),
            session_json,
            sessions.c.id,
        )
    )
)

ended = (
    delete(sessions)
    .where(sessions.c.id == ID, sessions.c.user_id == VIEWER, sign_in(sessions), signed_in())
    .returning(sessions.c.id)
    .cte("ended")
)
# `body` is null where there was nothing to end.
end = Statement(own(one(select(ended.c.id))), missing=SessionNotFound)
