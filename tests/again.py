"""A request that is sent again: its headers, and what is compared."""

from uuid import uuid4

from httpx2 import Response
from sqlalchemy import Engine, text

from pamps.config import Settings
from tests.factories import PASSWORD

NEW = {"email": "new@example.com", "username": "new", "password": PASSWORD}


def key(text: str | None = None) -> dict[str, str]:
    """The headers with a key: a new one, unless one is named."""
    return {"Idempotency-Key": text or f'"{uuid4()}"'}


def same(first: Response, second: Response) -> bool:
    """That two answers are one: in all that the service says, but for the id that each request has."""
    headers = [
        {name: value for name, value in one.headers.items() if name != "x-request-id"} for one in (first, second)
    ]
    return (first.status_code, first.content, headers[0]) == (second.status_code, second.content, headers[1])


def count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text(f'SELECT count(*) FROM "{table}"')) or 0)


def aged(engine: Engine, hours: float) -> None:
    """Have it be so many hours later, for the keys that are kept."""
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE idempotency_key SET created_at = created_at - :hours * interval '1 hour'"), {"hours": hours}
        )


def rotated(settings: Settings) -> Settings:
    """The settings with another secret key; the one of before still verifies."""
    old = settings.security.secret_key
    security = settings.security.model_copy(update={"secret_key": old[::-1], "old_secret_keys": (old,)})
    return settings.model_copy(update={"security": security})
