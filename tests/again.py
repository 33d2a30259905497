"""A request that is sent again: what it is, its headers, and what is compared."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from httpx2 import Response
from pyotp import TOTP
from sqlalchemy import Engine, text

from pamps.config import Settings
from pamps.models import User
from pamps.models.mail import PASSWORD_RESET, VERIFICATION
from tests.api import Api, Signed
from tests.document import OPERATIONS, Operation
from tests.factories import PASSWORD, World, recovery_code
from tests.test_bodies import GOOD
from tests.watched import until

TAKEN = [one for one in OPERATIONS if "Idempotency-Key" in one.parameters("header")]
TWO_FACTOR = "/user/me/two-factor/"
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


# By path, the body for an operation that takes more than its form to be answered well.
BODIES: dict[str, Callable[[World, User], dict[str, Any]]] = {
    "/refresh_token": lambda world, ada: {"refresh_token": world.sign_in(ada)[1].text},
    "/revoke_token": lambda world, ada: {"token": world.sign_in(ada)[1].text},
    f"{TWO_FACTOR}confirm/": lambda world, ada: {"code": TOTP(begun(world, ada)).now()},
    f"{TWO_FACTOR}recovery-codes/": lambda world, ada: {
        "password": PASSWORD,
        "code": recovery_code(0) if world.second_factor(ada) else "",
    },
    "/email_verification": lambda world, ada: {"token": world.link(ada, VERIFICATION)},
    "/password_reset": lambda world, ada: {"email": ada.email},
    "/password_reset/confirm": lambda world, ada: {
        "token": world.link(ada, PASSWORD_RESET),
        "new_password": "a better password",
    },
}


def begun(world: World, ada: User) -> str:
    """The secret of a second factor that is not on yet."""
    return world.second_factor(ada, enabled_at=None, recovery_codes=[])


def sendable(operation: Operation, world: World, ada: User) -> Callable[[Signed | Api, dict[str, str]], Response]:
    """A request that is answered well, to be sent by somebody with some headers, as often as need be."""
    body: dict[str, Any] = {}
    if operation.path == "/token":
        body = {"data": {"username": ada.username, "password": PASSWORD}}
    elif operation.media_types:
        made = BODIES.get(operation.path)
        body = {"json": made(world, ada) if made else GOOD[operation.method, operation.path]}

    def send(who: Signed | Api, headers: dict[str, str]) -> Response:
        response: Response = who.request(operation.method, operation.url, headers=headers, **body)
        return response

    return send


def mailed(engine: Engine) -> int:
    """How many mails there have been in this test, and none of them is still on its way."""
    until(lambda: count(engine, "pgqueuer") == 0)
    with engine.connect() as connection:
        return int(connection.scalar(text("SELECT pg_sequence_last_value('pgqueuer_id_seq')")) or 0)


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
