"""Requests that may be sent again: the table `idempotency_key`."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, LargeBinary, SmallInteger
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from pamps.models.base import created, reference


class IdempotencyKey(SQLModel, table=True):
    """The answer to a request that came with an Idempotency-Key, for when the same request comes again.

    `id` is a hash of the key and of whose it is; the key itself is kept nowhere. It and a secret go into `fingerprint`,
    which tells whether the request is the same: a body may hold a password, and whoever reads this table can't try
    passwords on it. They seal the `answer` as well, which may show a secret. `user_id` is null where nobody was
    signed in. A refusal is not kept: nothing was written.
    """

    __tablename__ = "idempotency_key"
    __table_args__ = (CheckConstraint("octet_length(answer) <= 1000000", name="answer"),)

    id: bytes = Field(primary_key=True, sa_type=LargeBinary)
    user_id: int | None = reference("user.id", default=None, nullable=True)
    created_at: datetime = created()
    fingerprint: bytes = Field(sa_type=LargeBinary, repr=False)
    status: int = Field(sa_type=SmallInteger)
    headers: dict[str, Any] = Field(sa_type=JSONB)
    answer: bytes = Field(sa_type=LargeBinary, repr=False)


idempotency_keys = IdempotencyKey.__table__  # type: ignore[attr-defined]

Index("idempotency_key_by_user", idempotency_keys.c.user_id, postgresql_where=idempotency_keys.c.user_id.is_not(None))
Index("idempotency_key_by_age", idempotency_keys.c.created_at)
