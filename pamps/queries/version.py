"""Which versions of which rows an answer was made from, and whether these are what is there still.

PostgreSQL changes no row in place: whatever changes it makes another version of it somewhere else. So a row is the
same as long as what is in its place (`ctid`) can be seen, and was put there by the same transaction (`xmin`); the
manual has these in 5.6, System Columns. Looking there is quicker than finding a row by an index, and no write pays.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    FromClause,
    LargeBinary,
    Numeric,
    Select,
    SelectBase,
    Table,
    Text,
    any_,
    bindparam,
    case,
    cast,
    column,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, array
from sqlalchemy.types import UserDefinedType

from pamps.db.statement import DIALECT, Statement
from pamps.errors import NotFound, PampsError
from pamps.models.post import posts
from pamps.models.user import users
from pamps.queries.sql import TRUE, Column, signed_in

# Which life of which server it is: after a crash, or on what was its standby, transactions that have been lost may have
# their numbers given to others. This is a time that begins anew with each, whatever is between us and the server.
LIFE = func.hashtextextended(cast(func.pg_stat_get_bgwriter_stat_reset_time(), Text), 0)


class Place(UserDefinedType[str]):
    """Where a row lies: PostgreSQL's `tid`."""

    cache_ok = True

    def get_col_spec(self, **options: Any) -> str:
        return "tid"


def place(table: Table) -> Column:
    """Where a row lies."""
    return literal_column(f"{DIALECT.identifier_preparer.format_table(table)}.ctid", Place())


def put_by(table: Table) -> Column:
    """Which transaction put it there."""
    return literal_column(f"{DIALECT.identifier_preparer.format_table(table)}.xmin")


def version(table: Table) -> tuple[Column, Column]:
    """Which version of a row it is: columns beside its own."""
    return place(table).label("place"), put_by(table).label("put_by")


def stamp(row_id: Column, transaction: Column) -> Column:
    """One number for the versions of some rows: their ids as well, since VACUUM FULL puts others in their places."""
    number = cast(cast(transaction, Text), BigInteger)
    return func.coalesce(func.sum(func.hashint8extended(row_id, number)), 0)


def versions_of(shown: FromClause, people: SelectBase, if_: Column = TRUE) -> Column:
    """The places of some posts, those of the people with some ids, and the stamp of them all: three texts; or null."""
    by_id = users.c.id == any_(func.array(people.scalar_subquery()))

    def summed(rows: FromClause) -> FromClause:
        places = cast(func.array_agg(rows.c.place), Text).label("places")
        return select(places, stamp(rows.c.id, rows.c.put_by).label("stamp")).subquery()

    post, user = summed(shown), summed(select(users.c.id, *version(users)).where(by_id).subquery())
    texts = array([post.c.places, user.c.places, cast(post.c.stamp + user.c.stamp + LIFE, Text)])
    return case((if_, select(texts).scalar_subquery())).label("versions")


def keepable(answer: Select[Any], versioned: Select[Any], missing: type[PampsError] = NotFound) -> Statement:
    """A statement whose answer may be kept, as there is one that tells the versions of what it was made from as well.

    That one's body is bytes: of a text that holds a single emoji Python would keep four bytes for each character.
    """
    found = versioned.subquery("found")
    in_bytes = func.convert_to(cast(found.c.body, Text), literal_column("'UTF8'")).label("body")
    with_versions = select(*(in_bytes if column is found.c.body else column for column in found.c))
    return Statement(answer, missing, versioned=Statement(with_versions, missing))


# Of several answers at once: which of them are still what they were, and their viewers' sessions alive.
answer = (
    func.unnest(
        bindparam("posts", type_=ARRAY(Text)),
        bindparam("users", type_=ARRAY(Text)),
        bindparam("stamps", type_=ARRAY(Text)),
        bindparam("viewers", type_=ARRAY(BigInteger)),
        bindparam("sessions", type_=ARRAY(BigInteger)),
        bindparam("proofs", type_=ARRAY(LargeBinary)),
    )
    .table_valued(
        column("posts", Text),
        column("users", Text),
        column("stamp", Text),
        column("viewer", BigInteger),
        column("session", BigInteger),
        column("proof", LargeBinary),
        with_ordinality="number",
    )
    .render_derived(name="answer")
)


def now(table: Table, places: Column) -> Column:
    """The stamp of what is in these places now."""
    in_place = place(table) == any_(cast(places, ARRAY(Place())))
    return select(stamp(table.c.id, put_by(table))).where(in_place).scalar_subquery()


unchanged = Statement(
    select(func.array_agg(answer.c.number).label("unchanged")).where(
        now(posts, answer.c.posts) + now(users, answer.c.users) + LIFE == cast(answer.c.stamp, Numeric),
        or_(answer.c.session.is_(None), signed_in(answer.c.viewer, answer.c.session, answer.c.proof)),
    )
)
