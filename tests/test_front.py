"""The front page, the health checks, and the pages that show the API: all from here, nothing from elsewhere."""

import json
import re

import pytest

from pamps import __version__
from tests.api import Api, problem
from tests.checkout import ROOT

PAGES = ["/", "/docs", "/docs/oauth2-redirect", "/redoc"]
STATIC = ROOT / "pamps" / "static"

FOR_PEOPLE = [
    "text/html,application/xhtml+xml,*/*;q=0.8",
    "text/html, application/json;q=0.1",
    "application/json ; Q=0.9 , TEXT/HTML",
    "application/json;q=0, */*",
    "text/*, application/json; charset=utf-8; q=0.5",
    "image/png, notjson",
    "*/*",
    "",
]
FOR_PROGRAMS = [
    "application/json",
    "application/json, text/plain, */*",
    "text/html;q=0.9, Application/JSON",
    "text/html;level=1;q=0.5, */*;q=0.6",
    "application/json;q=0.5, text/html;q=0",
    "application/*",
    "application/ld+json",
]


def test_the_front_page_says_where_the_api_page_is(api: Api) -> None:
    for accept in FOR_PEOPLE:
        page = api.get("/", headers={"Accept": accept})
        assert page.headers["vary"] == "Accept"
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert 'href="/docs"' in page.text
        assert f"Version {__version__}" in page.text


@pytest.mark.parametrize("accept", FOR_PROGRAMS)
def test_the_front_page_is_json_for_who_asks_for_json(api: Api, accept: str) -> None:
    data = api.get("/", headers={"Accept": accept})
    assert data.headers["vary"] == "Accept"
    assert data.json() == {
        "name": "pamps",
        "version": __version__,
        "docs": "/docs",
        "openapi": "/openapi.json",
    }


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_all_is_well(api: Api, path: str) -> None:
    response = api.get(path)
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_the_document_is_openapi(api: Api) -> None:
    document = api.get("/openapi.json").json()
    assert document == api.application.openapi()
    assert (document["openapi"][:4], document["info"]["title"]) == ("3.1.", "Pamps")
    assert (document["info"]["version"], document["info"]["license"]["name"]) == (__version__, "MIT")
    assert "url" not in json.dumps(document["info"])


@pytest.mark.parametrize("path", PAGES)
def test_a_page_takes_nothing_from_elsewhere(api: Api, path: str) -> None:
    page = api.get(path)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert re.findall(r"(?:https?:)?//[\w-]+\.[^\s\"'<>]+", page.text) == []
    for address in re.findall(r"(?:src|href)=[\"']([^\"'#]+)", page.text):
        assert address.startswith("/")
        assert api.get(address).status_code == 200, address


@pytest.mark.parametrize("path", ["/docs", "/docs/oauth2-redirect", "/redoc"])
def test_a_browser_lets_an_api_page_load_from_here_alone(api: Api, path: str) -> None:
    policy = api.get(path).headers["content-security-policy"]
    rules = {name: sources for name, *sources in (rule.split() for rule in policy.split(";"))}
    assert rules["default-src"] == ["'none'"]
    assert rules["script-src"][0] == "'self'"
    assert all(source.startswith("'sha256-") for source in rules["script-src"][1:])
    assert rules["connect-src"] == ["'self'"]
    assert rules["frame-ancestors"] == ["'none'"]
    named = {source for sources in rules.values() for source in sources if not source.startswith("'sha256-")}
    assert named == {"'none'", "'self'", "'unsafe-inline'", "data:", "blob:"}


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
        ("swagger-ui.css", "text/css; charset=utf-8"),
        ("redoc.standalone.js", "text/javascript; charset=utf-8"),
        ("favicon.png", "image/png"),
    ],
)
def test_an_asset_is_served_as_it_is(api: Api, name: str, media_type: str) -> None:
    response = api.get(f"/static/{name}")
    assert (response.status_code, response.headers["content-type"]) == (200, media_type)
    assert response.content == (STATIC / name).read_bytes()


@pytest.mark.parametrize(
    "path",
    ["", "nothing", "../app.py", "%2e%2e/app.py", "..%2fapp.py", "%00", "x" * 5000, "/etc/passwd"],
)
def test_there_is_no_other_asset(api: Api, path: str) -> None:
    assert problem(api.get(f"/static/{path}")) == (404, "not-found")


def test_an_asset_is_only_read(api: Api) -> None:
    response = api.post("/static/favicon.png", content=b"x")
    assert problem(response) == (405, "method-not-allowed")
    assert response.headers["allow"] == "GET, HEAD"


def test_an_asset_that_a_client_has_is_not_sent_again(api: Api) -> None:
    etag = api.get("/static/swagger-ui.css").headers["etag"]
    again = api.get("/static/swagger-ui.css", headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
