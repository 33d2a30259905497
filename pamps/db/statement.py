"""Statements: SQLAlchemy's queries, compiled once for asyncpg."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BindParameter, Executable
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect

from pamps import errors
from pamps.errors import PampsError

DIALECT = asyncpg_dialect()  # type: ignore[no-untyped-call]


class Compiler(DIALECT.statement_compiler):  # type: ignore[misc, name-defined]
    """Writes the plain Python values of a query into its SQL; only named parameters become $1, $2, ..."""

    def visit_bindparam(self, bindparam: BindParameter[Any], **options: Any) -> Any:
        options["literal_binds"] = not bindparam.required
        return super().visit_bindparam(bindparam, **options)


DIALECT.statement_compiler = Compiler


class Statement:
    """One SQL statement, compiled once. It knows its parameters' names; a missing or an unknown one is a TypeError.

    The columns of its row have fixed meanings: `body` is the JSON to answer with, null where there is nothing to show
    (then `missing` is raised); `refused` is the code of an error to raise; `next` is the cursor of the next page.
    A `patient` one may take longer than `db.statement_timeout`, because what it touches grows with what there is.
    An `aside` one stands, whatever becomes of the request: it is in no transaction with what follows.
    `instead` is one that is run in its place, and aside, where a request was answered before (idempotency.py); this one
    is given what that one takes.
    An `urgent` one is not refused because others wait for a connection already, and gets one before them.
    `versioned` is the same with one column more, the `versions` of the rows that its answer was made from, null where
    they don't tell all; so that the answer may be kept (kept.py).
    """

    def __init__(
        self,
        query: Executable,
        missing: type[PampsError] = errors.NotFound,
        patient: bool = False,
        aside: bool = False,
        urgent: bool = False,
        instead: "Statement | None" = None,
        versioned: "Statement | None" = None,
    ):
        compiled = query.compile(dialect=DIALECT)  # type: ignore[attr-defined]
        self.sql = str(compiled)
        self.missing = missing
        self.patient = patient
        self.aside = aside
        self.urgent = urgent
        self.instead = instead
        self.versioned = versioned
        self.order: tuple[str, ...] = tuple(compiled.positiontup or ())
        self.names: frozenset[str] = frozenset(self.order).union(instead.names if instead else ())

    def arguments(self, params: Mapping[str, Any]) -> list[Any]:
        """The values in the order of $1, $2, ..."""
        if params.keys() != self.names:
            raise TypeError(f"this statement takes {sorted(self.names)}, not {sorted(params)}")
        return [params[name] for name in self.order]
