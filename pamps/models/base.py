"""What every table shares: names for its constraints, a BIGINT identity, a time of creation, explicit loading."""

from typing import Any

from sqlalchemy import BigInteger, Identity, func, text
from sqlmodel import Field, Relationship, SQLModel, UTCDateTime

# PostgreSQL's own style, so that a name in an error message says what it is about; meanings.py turns them into errors.
SQLModel.metadata.naming_convention = {
    "pk": "%(table_name)s_pkey",
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
    "uq": "%(table_name)s_%(column_0_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
}


def identity() -> Any:
    """The primary key of a table: a BIGINT that PostgreSQL counts up."""
    return Field(default=None, primary_key=True, sa_type=BigInteger, sa_column_args=[Identity()])


def reference(target: str, on_delete: Any = "CASCADE", **more: Any) -> Any:
    """A BIGINT that refers to another table's id."""
    return Field(foreign_key=target, ondelete=on_delete, sa_type=BigInteger, **more)


def created() -> Any:
    """A time that PostgreSQL sets when the row is made."""
    return Field(
        default=None, sa_type=UTCDateTime, nullable=False, sa_column_kwargs={"server_default": func.clock_timestamp()}
    )


def counter() -> Any:
    """A count that triggers keep (see the first migration); nobody writes it."""
    return Field(default=None, sa_type=BigInteger, nullable=False, sa_column_kwargs={"server_default": text("0")})


def related(back_populates: str, **more: Any) -> Any:
    """The other side of a reference. Never loaded by surprise: say selectinload() or the like, or it raises."""
    return Relationship(
        back_populates=back_populates,
        sa_relationship_kwargs={"lazy": "raise_on_sql", "passive_deletes": "all", **more},
    )
