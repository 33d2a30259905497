"""Personal tokens: make, list and end them, and note their use."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    DateTime,
    FromClause,
    Integer,
    Text,
    bindparam,
    column,
    delete,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from pamps.db.statement import Statement
from pamps.errors import TokenNotFound
from pamps.models.session import sessions
from pamps.models.token import PersonalTokenResponse
from pamps.models.user import users
from pamps.queries.sql import ID, SESSION, TOKEN, VIEWER, Column, instant, one, own, page_of, shaped, sign_in, signed_in

DAYS = bindparam("days", type_=Integer)
TIME = DateTime(timezone=True)


def token_json(token: FromClause) -> Column:
    """The PersonalTokenResponse of a row of sessions."""
    return shaped(
        PersonalTokenResponse,
        id=token.c.id,
        name=token.c.name,
        scopes=token.c.scopes,
        created_at=instant(token.c.created_at),
        last_used_at=instant(func.nullif(token.c.last_used_at, token.c.created_at)),
        expires_at=instant(token.c.expires_at),
    )


mine_of_all = sessions.c.user_id == VIEWER, ~sign_in(sessions)

# What has expired goes first: its name is free again.
swept = (
    delete(sessions)
    .where(*mine_of_all, sessions.c.expires_at <= func.clock_timestamp(), signed_in())
    .returning(sessions.c.id)
    .cte("swept")
)
# Locked, so that whoever ends this session, or all of this user's, is either waited for here or sees the new one; and
# as the trigger that counts tokens will lock the user: two with a weaker lock would wait for one another.
asking = (
    select(users.c.id)
    .join(sessions, sessions.c.user_id == users.c.id)
    .where(users.c.id == VIEWER, sessions.c.id == SESSION, signed_in())
    .with_for_update(key_share=True, of=[users, sessions])
    .cte("asking")
)
made = (
    insert(sessions)
    .from_select(
        ["user_id", "created_at", "last_used_at", "expires_at", "token_hash", "name", "scopes"],
        select(
            asking.c.id,
            func.now(),
            func.now(),
            func.now() + func.make_interval(0, 0, 0, 0, DAYS * literal(24)),  # not days: those follow summer time
            TOKEN,
            bindparam("name", type_=Text),
            bindparam("scopes", type_=ARRAY(Text)),
        ).where(select(func.count() >= 0).select_from(swept).scalar_subquery()),
    )
    .returning(sessions)
    .cte("made")
)
make = Statement(select(made.c.id, token_json(made).label("body")))

mine = Statement(
    own(
        page_of(
            select(sessions).where(*mine_of_all, sessions.c.expires_at > func.clock_timestamp()),
            token_json,
            sessions.c.id,
        )
    )
)

ended = delete(sessions).where(sessions.c.id == ID, *mine_of_all, signed_in()).returning(sessions.c.id).cte("ended")
# `body` is null where there was nothing to end.
end = Statement(own(one(select(ended.c.id))), missing=TokenNotFound)

# Locked in the order of their ids, for other processes have noted the same tokens.
noted = (
    func.unnest(bindparam("ids", type_=ARRAY(BigInteger)), bindparam("times", type_=ARRAY(TIME)))
    .table_valued(column("id", BigInteger), column("time", TIME), name="noted")
    .render_derived()
)
locked = (
    select(sessions.c.id, noted.c.time)
    .join(noted, noted.c.id == sessions.c.id)
    .order_by(sessions.c.id)
    .with_for_update(key_share=True, of=sessions)
    .cte("locked")
)
note_uses = Statement(
    update(sessions)
    .where(sessions.c.id == locked.c.id)
    .values(last_used_at=func.greatest(sessions.c.last_used_at, locked.c.time))
    .returning(sessions.c.id)
)
