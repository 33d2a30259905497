"""What all processes together have counted for the rate limits: the table `tally`."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, Text
from sqlmodel import Field, SQLModel, UTCDateTime


class Tally(SQLModel, table=True):
    """How much of one kind somebody has had in a window of time. Of no use after `ends_at`, and then swept away.

    The table is unlogged: a write costs no wait for the disk, and after a crash of PostgreSQL it begins anew.
    """

    __table_args__ = {"prefixes": ["UNLOGGED"]}

    name: str = Field(primary_key=True, sa_type=Text(collation="C"))
    ends_at: datetime = Field(primary_key=True, sa_type=UTCDateTime)
    total: int = Field(sa_type=BigInteger)


tallies = Tally.__table__  # type: ignore[attr-defined]

Index("tally_by_end", tallies.c.ends_at)
