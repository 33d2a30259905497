"""The expressions that every noun's statements are made of: who asks, what may be seen, shapes, pages."""

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel
from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    DateTime,
    FromClause,
    LargeBinary,
    Select,
    and_,
    bindparam,
    case,
    cast,
    exists,
    extract,
    func,
    literal_column,
    null,
    or_,
    select,
    tuple_,
)
from sqlalchemy import Text as SqlText
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from pamps.models.post import posts
from pamps.models.session import sessions

# Who asks: a user and their session, both null where nobody is signed in; and what proves a personal token.
VIEWER = bindparam("viewer", type_=BigInteger)
SESSION = bindparam("session", type_=BigInteger)
PROOF = bindparam("proof", type_=LargeBinary)

# What the statements of several nouns take.
ID = bindparam("id", type_=BigInteger)
USERNAME = bindparam("username", type_=SqlText)
SEEN = bindparam("seen", type_=SqlText)  # the hash that a password was verified against
TOKEN = bindparam("token_hash", type_=LargeBinary)

LIMIT = bindparam("limit", type_=BigInteger)
CURSOR_ID = bindparam("cursor_id", type_=BigInteger)
CURSOR_DATE = bindparam("cursor_date", type_=DateTime(timezone=True))

BEFORE_ANY_ID: ColumnElement[int] = literal_column("0")
AFTER_ANY_ID: ColumnElement[int] = literal_column("9223372036854775807")

Column = ColumnElement[Any]

TRUE, FALSE = cast(literal_column("true"), Boolean), cast(literal_column("false"), Boolean)


def signed_in(viewer: Column = VIEWER, session: Column = SESSION, proof: Column = PROOF) -> Column:
    """That the viewer's session is still alive. It is looked up once for a statement, not for every row.

    That of a personal token needs the token's proof; an access token has none, because its signature was verified.
    """
    return exists().where(
        sessions.c.id == session,
        sessions.c.user_id == viewer,
        sessions.c.expires_at > func.clock_timestamp(),
        case((proof.is_(None), sign_in(sessions)), else_=and_(~sign_in(sessions), sessions.c.token_hash == proof)),
    )


def sign_in(session: FromClause) -> Column:
    """That a session is a sign-in, and not a personal token."""
    return session.c.name.is_(None)


def anyone() -> Column:
    """That nobody is signed in, or a viewer whose session is still alive."""
    return or_(SESSION.is_(None), signed_in())


def visible_to(viewer: Column, post: FromClause, in_thread: bool = False) -> Column:
    """What a viewer may see of posts. Every read passes through here.

    Everything but tombstones and what is hidden, which are seen only in threads; there what is hidden is shown like a
    tombstone, and like one only where something is under it.
    """
    if not in_thread:
        return and_(post.c.user_id.is_not(None), ~post.c.hidden)
    under = posts.alias()
    return or_(~post.c.hidden, exists().where(under.c.parent_id == post.c.id))


def shown_to(viewer: Column, user: FromClause) -> Column:
    """What a viewer may see of people: all but the suspended. Every list and every profile passes through here."""
    return user.c.suspended_at.is_(None)


def if_signed_in(answer: Column) -> Column:
    """An answer that depends on the viewer: null where nobody is signed in."""
    return case((VIEWER.is_(None), null()), else_=answer)


class shaped(FunctionElement[Any]):  # noqa: N801  # used like a function of SQL
    """A JSON object of exactly the fields of a response model, in its order; refuses at import any other.

    By row_to_json over a row of named columns: compact, and no slower than json_build_object.
    """

    inherit_cache = False  # the names are no part of SQLAlchemy's cache key, and each statement is compiled once anyway

    def __init__(self, model: type[BaseModel], **columns: Any):
        if columns.keys() != model.model_fields.keys():
            wrong = columns.keys() ^ model.model_fields.keys()
            raise TypeError(f"{model.__name__} has other fields than these columns: {sorted(wrong)}")
        self.names = list(model.model_fields)
        super().__init__(*(columns[name] for name in self.names))


@compiles(shaped)
def compile_shaped(element: shaped, compiler: SQLCompiler, **options: Any) -> str:
    columns = (
        f'{compiler.process(column, **options)} AS "{name}"'
        for name, column in zip(element.names, element.clauses, strict=True)
    )
    inner = ", ".join(columns)
    return f"(SELECT row_to_json(shape) FROM (SELECT {inner}) AS shape)"  # nosec B608 # compiled by SQLAlchemy


def instant(column: Column) -> Column:
    """A time as RFC 3339 in UTC, ending in Z, to the microsecond."""
    return func.to_char(
        func.timezone(literal_column("'UTC'"), column), literal_column("""'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'""")
    )


def array_of(item: Column, *order: Column) -> Column:
    """A JSON array, empty rather than null."""
    return func.coalesce(func.json_agg(aggregate_order_by(item, *order)), literal_column("'[]'::json"))


def reading(answer: Select[Any]) -> Select[Any]:
    """An answer that is open to anyone: no row if the viewer's session has ended."""
    return answer.where(anyone())


def own(answer: Select[Any]) -> Select[Any]:
    """An answer for the signed-in alone."""
    return answer.where(signed_in())


def one(found: Select[Any]) -> Select[Any]:
    """What a query finds as the body of an answer, null where it finds nothing."""
    return select(found.scalar_subquery().label("body"))


def page_of(
    rows: Select[Any],
    item: Callable[[FromClause], Column],
    *keys: Column,
    oldest_first: bool = False,
    of: Column | None = None,
    versions: Callable[[FromClause], Column] | None = None,
) -> Select[Any]:
    """A keyset page of `rows`: its JSON array as the body, and the cursor of the next page, null at the end.

    `of` is that there is what the list belongs to: where it is not, the body is null. `keys` order the rows and are
    among their columns: one id, or a date and an id. One row more than asked for is read, so as to know whether there
    is a next page; nothing is counted. The cursor is the last row's key, so page 10,000 is found in the index like
    page 1. `versions` are those of the rows that a page is made from, if they are wanted.
    """
    page = rows.where(beyond(keys, oldest_first)).order_by(*ordered(keys, oldest_first)).limit(LIMIT + 1).cte("page")
    page_keys = [page.c[key.name] for key in keys]
    shown = select(page).order_by(*ordered(page_keys, oldest_first)).limit(LIMIT).subquery("shown")
    shown_keys = [shown.c[key.name] for key in keys]
    body: Column = select(array_of(item(shown), *ordered(shown_keys, oldest_first))).scalar_subquery()
    last = (
        select(cursor_of(page_keys))
        .where(select(func.count()).select_from(page).scalar_subquery() > LIMIT)
        .order_by(*ordered(page_keys, not oldest_first))
        .offset(1)
        .limit(1)
    )
    there = body if of is None else case((of, body))
    found = select(there.label("body"), last.scalar_subquery().label("next"))
    return found if versions is None else found.add_columns(versions(page))


def ordered(keys: Sequence[Column], oldest_first: bool) -> list[Column]:
    return [key.asc() if oldest_first else key.desc() for key in keys]


def beyond(keys: Sequence[Column], oldest_first: bool) -> Column:
    """That a row lies beyond the cursor; where there is none, beyond the end that the list starts from."""
    start = BEFORE_ANY_ID if oldest_first else AFTER_ANY_ID
    id_cursor = func.coalesce(CURSOR_ID, start)
    if len(keys) == 1:
        return keys[0] > id_cursor if oldest_first else keys[0] < id_cursor
    date_cursor = func.coalesce(CURSOR_DATE, literal_column("'infinity'::timestamptz"))
    assert not oldest_first, "no list by date is read oldest first yet"
    return tuple_(*keys) < tuple_(date_cursor, id_cursor)


def cursor_of(keys: Sequence[Column]) -> Column:
    """The cursor of a row: its id, or its date in microseconds and its id. pagination.py reads it back."""
    if len(keys) == 1:
        return cast(keys[0], SqlText)
    date, key = keys
    microseconds = cast(extract("epoch", date) * literal_column("1000000"), BigInteger)
    return func.concat(microseconds, literal_column("'-'"), key)


def after(counter: Column, operator: str, rows: FromClause) -> Column:
    """A counter as its trigger leaves it: a statement does not see what it has itself changed."""
    return counter.op(operator)(select(func.count()).select_from(rows).scalar_subquery())


def author_only(target: FromClause, not_found: str) -> Column:
    """The code of the error for whoever may not change the post in `target`, and null for its author."""
    return case(
        (~exists().select_from(target), literal_column(f"'{not_found}'")),
        (~exists().where(target.c.user_id == VIEWER), literal_column("'not-the-author'")),
        else_=null(),
    )


def same(column: Column, value: Column) -> Column:
    """That two usernames or emails are the same, ignoring case."""
    return func.lower(column) == func.lower(value.collate("C"))


def starts_with(column: Column, prefix: Column) -> Column:
    """That a text begins with a prefix, ignoring case and accents: a range in the index of fold(column)."""
    folded, start = func.fold(column).collate("C"), func.fold(prefix)
    return and_(folded >= start, folded < func.concat(start, literal_column(r"U&'\+10FFFF'")))
