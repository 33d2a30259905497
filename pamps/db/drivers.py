"""What each driver is given: asyncpg, which serves requests, a uri; psycopg2, for the synchronous tools, an engine."""

import re
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from sqlalchemy import Engine, create_engine

# What asyncpg (connect_utils.py) or the server, for `options`, makes of what stands after the ? of a uri. Anything else
# asyncpg would send to the server as a setting, to be refused there.
KNOWN_TO_ASYNCPG = {
    *("host", "port", "dbname", "user", "password", "passfile", "service", "target_session_attrs", "options"),
    *("krbsrvname", "gsslib", "sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword"),
    *("sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version"),
}


def asyncpg_uri(uri: str) -> str:
    """A uri as asyncpg takes it, whatever driver it names: without what only libpq has a word for."""
    address, _, query = re.sub(r"^\w+(\+\w+)?://", "postgresql://", uri).partition("?")
    known = [(name, value) for name, value in parse_qsl(query) if name in KNOWN_TO_ASYNCPG]
    return f"{address}?{urlencode(known, quote_via=quote)}" if known else address


def engine(uri: str, **options: Any) -> Engine:
    """A SQLAlchemy engine over psycopg2. (A plain postgresql:// would mean psycopg 3 to SQLAlchemy.)"""
    return create_engine(re.sub(r"^\w+(\+\w+)?://", "postgresql+psycopg2://", uri), **options)
