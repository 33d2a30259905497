"""Counting together: what each process has counted is added up here."""

from sqlalchemy import ARRAY, BigInteger, DateTime, Text, and_, bindparam, delete, func, select, tuple_, union_all
from sqlalchemy.dialects.postgresql import insert

from pamps.db.statement import Statement
from pamps.models.tally import tallies

SWEPT = 1000  # rows at once that are of no more use

# Those that another process sweeps at the same moment are left to it.
useless = (
    select(tallies.c.name, tallies.c.ends_at)
    .where(tallies.c.ends_at <= func.now())
    .limit(SWEPT)
    .with_for_update(skip_locked=True)
)
swept = (
    delete(tallies).where(tuple_(tallies.c.name, tallies.c.ends_at).in_(useless)).returning(tallies.c.name).cte("swept")
)
sent = (
    func.unnest(
        bindparam("names", type_=ARRAY(Text)),
        bindparam("ends", type_=ARRAY(DateTime(timezone=True))),
        bindparam("amounts", type_=ARRAY(BigInteger)),
    )
    .table_valued("name", "ends_at", "amount")
    .render_derived()
)
# In one order by everybody, so that two processes don't wait for one another.
addition = insert(tallies).from_select(
    ["name", "ends_at", "total"],
    select(sent.c.name, sent.c.ends_at, sent.c.amount)
    .where(sent.c.amount != 0, sent.c.ends_at > func.now())  # what is swept can't be added to as well
    .order_by(sent.c.name, sent.c.ends_at),
)
added = (
    addition.on_conflict_do_update(
        index_elements=[tallies.c.name, tallies.c.ends_at], set_={"total": tallies.c.total + addition.excluded.total}
    )
    .returning(tallies.c.name, tallies.c.total)
    .cte("added")
)
# Nothing to add asks what there is.
asked = select(tallies.c.name, tallies.c.total).join(
    sent, and_(tallies.c.name == sent.c.name, tallies.c.ends_at == sent.c.ends_at, sent.c.amount == 0)
)
known = union_all(select(added.c.name, added.c.total), asked).subquery()
exchange = Statement(
    select(func.array_agg(known.c.name).label("names"), func.array_agg(known.c.total).label("totals")).add_cte(swept)
)
