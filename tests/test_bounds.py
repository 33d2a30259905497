"""What strangers send that nobody has sent before, a server process does not pile up."""

import json
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from fastapi import FastAPI

from pamps.app import create_app
from pamps.config import Limits, Settings
from pamps.tokens import new_personal_token, new_refresh_token, sign_access_token
from tests.factories import World
from tests.live import HOST, served

FEW = 10  # of what is noted, in the place of thousands
ROOM = 3_000  # bytes for answers
STRANGERS = 2 * FEW + 1
KINDS = ("sign_in", "write", "read", "search")


@pytest.fixture
def app(settings: Settings, world: World) -> FastAPI:
    for number in range(STRANGERS):
        world.post(by=world.user(f"ada{number}"))
    limits = Limits(sign_up="", **dict.fromkeys(KINDS, "1000/hour"), shared=False)
    return create_app(settings.model_copy(update={"limits": limits}))


def strange(number: int, settings: Settings) -> Iterator[tuple[str, str, str, dict[str, str]]]:
    """Requests of somebody who has a token, a username, and all else that no one else has."""
    security = settings.security
    ended = sign_access_token(number, 10**6 + number, time.time(), security)
    personal = new_personal_token(["read"]).text(number, number)
    for token in (ended, personal):
        yield "GET", "/user/me/", "", {"Authorization": f"Bearer {token}"}
        yield "GET", f"/post/{number}/thread/", "", {"Authorization": f"Bearer {token}"}
    for _ in range(3):
        yield "GET", f"/post/{number}/", "", {}
    yield "GET", f"/user/?q={uuid4().hex}", "", {}
    yield "GET", f"/{uuid4().hex}/{number}", "", {}
    yield "PUT", f"/{uuid4().hex}/{number}", "", {}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    yield "POST", "/token", urlencode({"username": uuid4().hex, "password": uuid4().hex}), form
    token = json.dumps({"refresh_token": new_refresh_token().text})
    yield "POST", "/refresh_token", token, {"Content-Type": "application/json", "Idempotency-Key": f'"{uuid4()}"'}


def send(port: int, settings: Settings) -> None:
    """All of it, from as many addresses: from this machine uvicorn believes whom a request is said to be for."""
    connection = HTTPConnection(HOST, port, timeout=30)
    for number in range(1, 1 + STRANGERS):
        for method, path, body, headers in strange(number, settings):
            connection.request(method, path, body or None, headers | {"X-Forwarded-For": f"2001:db8:0:{number:x}::1"})
            connection.getresponse().read()
    connection.close()


def test_of_sessions_questions_answers_and_counters_only_so_many_are_kept(app: FastAPI) -> None:
    with served(app) as port:
        database, limits = app.state.database, app.state.limits
        noted = {"sessions": database.vouched, "questions": database.asked}
        noted |= {kind: limits[kind].counts.counters for kind in KINDS}
        for few in noted.values():
            few.most = FEW
        database.answers.most = ROOM
        send(port, app.state.settings)
        kept = {name: len(few) for name, few in noted.items()}
        assert {name: count for name, count in kept.items() if not FEW <= count <= 2 * FEW} == {}
        assert ROOM / 2 < database.answers.size <= ROOM
