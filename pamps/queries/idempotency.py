"""Requests that may be sent again: claim a key, keep the answer, throw away what is old."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Interval,
    LargeBinary,
    SmallInteger,
    any_,
    bindparam,
    column,
    delete,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB, insert

from pamps.db.statement import Statement
from pamps.models.idempotency import idempotency_keys
from pamps.queries.sql import anyone

KEY = bindparam("key", type_=LargeBinary)
KEPT = bindparam("kept", type_=Interval)
BATCH = 1000

# Whether the key is ours until the transaction ends, and the answer if it is known; no row where the session has ended:
# an answer is for the one who may still ask.
answer = func.claim_idempotency_key(KEY, KEPT).table_valued(
    column("held", Boolean),
    column("fingerprint", LargeBinary),
    column("status", SmallInteger),
    column("headers", JSONB),
    column("answer", LargeBinary),
)
claim = Statement(select(answer).where(anyone()))

keep = Statement(
    insert(idempotency_keys)
    .values(
        id=KEY,
        user_id=bindparam("owner", type_=BigInteger),
        fingerprint=bindparam("fingerprint", type_=LargeBinary),
        status=bindparam("status", type_=SmallInteger),
        headers=bindparam("headers", type_=JSONB),
        answer=bindparam("answer", type_=LargeBinary),
    )
    .returning(idempotency_keys.c.id)
)

old = (
    select(idempotency_keys.c.id)
    .where(idempotency_keys.c.created_at <= func.now() - KEPT)
    .order_by(idempotency_keys.c.created_at)
    .limit(BATCH)
    .with_for_update(skip_locked=True)
)
# As an array, each is found by its index, however many a plan expects.
swept = (
    delete(idempotency_keys)
    .where(idempotency_keys.c.id == any_(func.array(old.scalar_subquery())))
    .returning(idempotency_keys.c.id)
    .cte("swept")
)
sweep = Statement(select(func.count().label("count")).select_from(swept))
