"""Each request has an id, on every answer and in what it leaves in the log."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response

from pamps.app import create_app
from pamps.config import Settings
from tests.api import Api, problem
from tests.factories import World
from tests.live import Connection, served
from tests.watched import until

NEW = re.compile(r"[0-9a-f]{16}")
APP = "https://app.example.com"


def changed(settings: Settings, **sections: dict[str, Any]) -> Settings:
    """Settings with some others: `changed(settings, server={"port": 1})`."""
    return settings.model_copy(
        update={name: getattr(settings, name).model_copy(update=values) for name, values in sections.items()}
    )


def breaking(settings: Settings) -> FastAPI:
    """An app with a route that has a mistake in it."""

    def fail(request: Request) -> Response:
        raise ZeroDivisionError("by the answer of ada@example.com")

    app = create_app(settings)
    app.router.add_route("/broken", fail)
    return app


@pytest.fixture
def as_json(settings: Settings, empty: None) -> Iterator[Api]:
    with Api(breaking(changed(settings, log={"format": "json"}, server={"cors_origins": (APP,)}))) as api:
        yield api


def test_a_line_says_who_asked_whatever_of_the_account_it_was_about(
    as_json: Api, world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    world.user("ada")
    root = as_json.as_(world.sign_in(world.user("root", role="admin"))[0])
    capfd.readouterr()
    assert root.get("/user/me/").status_code == 200
    assert root.get("/user/me/sessions/").status_code == 200
    assert root.put("/user/ada/suspension/", json={"reason": "Spam."}).status_code == 200
    assert [line.get("user") for line in written(capfd, 3)] == [2, 2, 2]


def written(capfd: pytest.CaptureFixture[str], count: int) -> list[dict[str, Any]]:
    """So many lines of the log, once they have been written."""
    text = ""

    def all_there() -> bool:
        nonlocal text
        text += capfd.readouterr().err
        return text.count("\n") >= count

    until(all_there)
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("path", "status"), [("/post/", 200), ("/post/1/", 404), ("/nothing", 404), ("/user/me/", 401), ("/broken", 500)]
)
def test_every_answer_has_an_id_of_its_own(as_json: Api, path: str, status: int) -> None:
    answers = [as_json.get(path) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [status, status]
    first, second = (answer.headers["x-request-id"] for answer in answers)
    assert NEW.fullmatch(first)
    assert NEW.fullmatch(second)
    assert first != second


@pytest.mark.parametrize("path", ["/post/", "/post/1/", "/broken", "/static/favicon.png"])
@pytest.mark.parametrize("given", ["a", "7f8d9c1e-4b7a-4f0e-9a52-0f3c1d2e4b5a", "Root.1_2-3", "x" * 64])
def test_an_id_that_is_sent_is_given_back(as_json: Api, path: str, given: str) -> None:
    assert as_json.get(path, headers={"X-Request-ID": given}).headers.get_list("x-request-id") == [given]


@pytest.mark.parametrize(
    "given", ["", "x" * 65, "a b", "a@example.com", "a\tb", "é".encode(), '"a"', "a,b", "a/b", "pamps_1_2_r_x"]
)
def test_an_id_that_is_not_well_formed_is_not(as_json: Api, given: str | bytes) -> None:
    sent: Any = {"X-Request-ID": given}
    assert NEW.fullmatch(as_json.get("/post/", headers=sent).headers["x-request-id"])


def test_an_answer_that_is_not_sent_again_has_an_id(as_json: Api) -> None:
    etag = as_json.get("/post/").headers["etag"]
    answer = as_json.get("/post/", headers={"If-None-Match": etag, "X-Request-ID": "again"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (304, "again")


def test_an_answer_without_a_database_has_an_id(settings: Settings, empty: None) -> None:
    away = changed(settings, db={"uri": "postgresql://pamps@127.0.0.1:1/pamps"})
    with Api(create_app(away)) as api:
        answer = api.get("/post/", headers={"X-Request-ID": "away"})
    assert problem(answer) == (503, "database-unavailable")
    assert answer.headers["x-request-id"] == "away"


def test_pages_from_elsewhere_may_send_and_read_it(as_json: Api) -> None:
    asked = {
        "Origin": APP,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "x-request-id",
        "X-Request-ID": "preflight",
    }
    preflight = as_json.request("OPTIONS", "/post/", headers=asked)
    assert (preflight.status_code, preflight.headers["x-request-id"]) == (200, "preflight")
    answer = as_json.get("/post/", headers={"Origin": APP})
    assert "X-Request-ID" in answer.headers["access-control-expose-headers"].split(", ")


def test_requests_answered_together_have_each_their_own(settings: Settings, empty: None) -> None:
    with served(create_app(settings)) as port:
        clients = [Connection(port) for _ in range(24)]
        for number, client in enumerate(clients):
            client.send("GET /post/ HTTP/1.1", "Host: pamps", f"X-Request-ID: number-{number}", "")
        found = [client.head()[1]["x-request-id"] for client in clients]
        for client in clients:
            client.socket.close()
    assert found == [f"number-{number}" for number in range(24)]


def test_a_request_leaves_a_line(as_json: Api, world: World, capfd: pytest.CaptureFixture[str]) -> None:
    ada = world.user("ada")
    post = world.post(by=ada)
    token, _ = world.sign_in(ada)
    signed = as_json.as_(token)
    capfd.readouterr()
    page = as_json.get("/post/?limit=7", headers={"X-Request-ID": "1"})
    signed.get(f"/post/{post.id}/", headers={"X-Request-ID": "2"})
    signed.request("HEAD", f"/post/{post.id}", headers={"X-Request-ID": "3"})
    invalid = as_json.get("/user/ada@example.com/", headers={"X-Request-ID": "4"})
    as_json.get("/ada@example.com", headers={"X-Request-ID": "5"})
    as_json.get("/static/favicon.png", headers={"X-Request-ID": "6"})
    lines = written(capfd, 6)
    assert [line.pop("time")[10] for line in lines] == ["T"] * 6
    assert all(line.pop("ms") > 0 for line in lines)
    about = {"event": "request", "level": "info", "method": "GET", "client": "testclient", "status": 200}
    assert lines[0] == {**about, "id": "1", "route": "/post/", "bytes": len(page.content)}
    assert lines[1] == {**about, "id": "2", "route": "/post/{id}/", "user": ada.id, "bytes": lines[1]["bytes"]}
    assert lines[2] == {**about, "id": "3", "route": "/post/{id}/", "user": ada.id, "bytes": 0, "method": "HEAD"}
    refused = {**about, "id": "4", "route": "/user/{username}/", "status": 422, "code": "invalid-request"}
    assert lines[3] == {**refused, "bytes": len(invalid.content)}
    lost = {**about, "id": "5", "route": None, "status": 404, "code": "not-found"}
    assert lines[4] == {**lost, "bytes": lines[4]["bytes"]}
    assert (lines[5]["route"], lines[5]["status"]) == ("/static/{path}", 200)


@pytest.mark.parametrize("log", [{"requests": False}, {"level": "warning"}])
def test_requests_can_be_left_out_of_the_log(
    settings: Settings, empty: None, capfd: pytest.CaptureFixture[str], log: dict[str, Any]
) -> None:
    with Api(create_app(changed(settings, log=log))) as api:
        capfd.readouterr()
        assert NEW.fullmatch(api.get("/post/").headers["x-request-id"])
        assert capfd.readouterr().err == ""
