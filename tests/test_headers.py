"""What browsers may do with our answers. That all of them carry what tests/owasp.py lists, the tests' client checks."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response

from pamps.app import create_app
from pamps.config import Settings
from pamps.middleware.cors import GIVEN
from tests.api import Api, problem
from tests.live import Connection, served

APP = "https://app.example.com"
HSTS = "strict-transport-security"
PREFLIGHT = {"Origin": APP, "Access-Control-Request-Method": "POST"}
PAGES = ["/", "/docs", "/docs/oauth2-redirect", "/redoc"]


def app(settings: Settings, **server: Any) -> FastAPI:
    return create_app(settings.model_copy(update={"server": settings.server.model_copy(update=server)}))


@pytest.fixture
def open_to_app(settings: Settings, empty: None) -> Iterator[Api]:
    with Api(app(settings, cors_origins=(APP, "http://localhost:3000"))) as api:
        yield api


def allowed(headers: Any) -> dict[str, str]:
    """What an answer says of CORS."""
    return {name: value for name, value in headers.items() if name.startswith("access-control-")}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_that_is_not_sent_again_keeps_its_policy(api: Api, path: str) -> None:
    first = api.get(path)
    again = api.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.headers["content-security-policy"] == first.headers["content-security-policy"]


def test_the_front_page_lets_its_own_style_in_and_no_other(api: Api) -> None:
    rules = api.get("/").headers["content-security-policy"].split("; ")
    (style,) = [rule for rule in rules if rule.startswith("style-src")]
    assert style.startswith("style-src 'sha256-")
    assert style.count(" ") == 1


def test_https_is_for_good_once_it_was_used(settings: Settings, empty: None) -> None:
    for age, sent in ((31_536_000, "max-age=31536000"), (0, None)):
        for scheme in ("http", "https"):
            with served(app(settings, hsts_max_age=age)) as port, Connection(port) as client:
                client.send("GET /livez HTTP/1.1", "Host: pamps", f"X-Forwarded-Proto: {scheme}", "")
                assert client.head()[1].get(HSTS) == (sent if scheme == "https" else None)


def test_no_page_from_elsewhere_may_use_the_api_unless_it_is_told(api: Api) -> None:
    answer = api.get("/post/", headers={"Origin": APP})
    assert (answer.status_code, allowed(answer.headers)) == (200, {})
    assert problem(api.request("OPTIONS", "/post/", headers=PREFLIGHT)) == (405, "method-not-allowed")


def test_an_origin_that_is_let_in_may_ask_send_and_read(open_to_app: Api) -> None:
    headers = {
        **PREFLIGHT,
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,if-none-match",
    }
    answer = open_to_app.request("OPTIONS", "/post/", headers=headers)
    assert answer.status_code == 200
    assert allowed(answer.headers) == {
        "access-control-allow-origin": APP,
        "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
        "access-control-allow-headers": (
            "Accept, Accept-Language, Authorization, Content-Language, Content-Type, Idempotency-Key, If-None-Match, "
            "X-Request-ID"
        ),
        "access-control-max-age": "600",
    }
    for path, status in (("/post/", 200), ("/post/1/", 404), ("/user/me/", 401), ("/nothing", 404)):
        answer = open_to_app.get(path, headers={"Origin": APP})
        assert answer.status_code == status
        assert allowed(answer.headers) == {
            "access-control-allow-origin": APP,
            "access-control-expose-headers": ", ".join(GIVEN),
        }
        assert answer.headers["vary"].split(", ")[-1] == "Origin"
    assert open_to_app.get("/post/", headers={"Origin": APP}).headers["vary"] == "Authorization, Origin"


@pytest.mark.parametrize("origin", ["https://evil.example", APP + ".evil.example", "http://app.example.com", "null"])
def test_another_origin_is_not_let_in(open_to_app: Api, origin: str) -> None:
    refused = open_to_app.request("OPTIONS", "/post/", headers={**PREFLIGHT, "Origin": origin})
    assert refused.status_code == 400
    for answer in (refused, open_to_app.get("/post/", headers={"Origin": origin})):
        assert "access-control-allow-origin" not in answer.headers
        assert "access-control-allow-credentials" not in answer.headers


def test_every_origin_may_be_let_in(settings: Settings, empty: None) -> None:
    with Api(app(settings, cors_origins=("*",))) as api:
        assert api.get("/post/", headers={"Origin": "null"}).headers["access-control-allow-origin"] == "*"


def test_a_page_reads_our_mistakes_too(settings: Settings, empty: None) -> None:
    def fail(request: Request) -> Response:
        raise ZeroDivisionError

    broken = app(settings, cors_origins=(APP,))
    broken.router.add_route("/broken", fail)
    with Api(broken) as api:
        answer = api.get("/broken", headers={"Origin": APP})
    assert problem(answer) == (500, "internal-error")
    assert answer.headers["access-control-allow-origin"] == APP


OTHER = "http://localhost:3000"
MINE = f"Origin: {APP}"
LONG = "x" * 20_000
FORM = "Content-Type: application/x-www-form-urlencoded"
REFUSED = {
    "an address": (431, ["GET /" + LONG + " HTTP/1.1", "Host: pamps", MINE, ""]),
    "a header before it": (431, ["GET / HTTP/1.1", "X: " + LONG, MINE, ""]),
    "a header after it": (431, ["GET / HTTP/1.1", MINE, "X: " + LONG, ""]),
    "no request": (400, ["GET / HTTP/1.1", MINE, "Host: pamps", "Host: pamps", ""]),
    "a body that never comes": (408, ["POST /token HTTP/1.1", "Host: pamps", MINE, FORM, "Content-Length: 9", ""]),
}


@pytest.mark.parametrize(("status", "lines"), REFUSED.values(), ids=REFUSED)
def test_a_page_reads_what_a_connection_refuses(settings: Settings, empty: None, status: int, lines: list[str]) -> None:
    origins = (APP, OTHER, "https://evil.example")
    with served(app(settings, cors_origins=(APP, OTHER), body_timeout=0.1)) as port, ExitStack() as stack:
        clients = [stack.enter_context(Connection(port)) for _ in origins]
        for client, origin in zip(clients, origins, strict=True):
            client.socket.sendall("\r\n".join([*lines, ""]).replace(APP, origin).encode())
        answers = [client.head() for client in clients]
    found = [(answered, headers.get("access-control-allow-origin")) for answered, headers, _ in answers]
    assert found == [(status, APP), (status, OTHER), (status, None)]


@pytest.mark.parametrize(("origins", "told"), [((APP,), APP), (("*",), "*"), ((APP, OTHER), None), ((), None)], ids=str)
def test_a_page_is_told_of_a_connection_too_many_where_there_is_one_origin(
    settings: Settings, empty: None, origins: tuple[str, ...], told: str | None
) -> None:
    with served(app(settings, cors_origins=origins, max_connections=1)) as port, Connection(port) as first:
        first.send("GET /livez HTTP/1.1", "Host: pamps", "")
        assert first.head()[0] == 200
        with Connection(port) as second:
            status, headers, _ = second.head()
        assert (status, headers.get("access-control-allow-origin")) == (503, told)
        assert headers["retry-after"] == "1"
        assert ("Retry-After" in headers.get("access-control-expose-headers", "")) is (told is not None)


def test_requests_answered_together_are_each_told_what_their_origin_may(settings: Settings, empty: None) -> None:
    with served(app(settings, cors_origins=(APP, OTHER))) as port:
        clients = [Connection(port) for _ in range(24)]
        origins = [(APP, OTHER, None)[number % 3] for number in range(len(clients))]
        for _ in range(5):
            for client, origin in zip(clients, origins, strict=True):
                client.send("GET /user/ HTTP/1.1", "Host: pamps", *([f"Origin: {origin}"] if origin else []), "")
            for client, origin in zip(clients, origins, strict=True):
                status, headers, _ = client.head()
                assert (status, headers.get("access-control-allow-origin")) == (200, origin)
                assert headers["vary"] == "Authorization, Origin"
        for client in clients:
            client.socket.close()
