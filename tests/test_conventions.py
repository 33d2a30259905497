"""What holds for every route: slashes, HEAD, errors as problems, odd characters, ids and parameters."""

from collections.abc import Iterator
from itertools import product

import pytest
from sqlalchemy import Engine

from pamps.app import create_app
from pamps.config import Settings
from tests.api import Api, Signed, problem
from tests.document import DOCUMENT, OPERATIONS, READS, Operation
from tests.factories import World
from tests.live import Connection, served
from tests.tables import unchanged

PAGES = ["/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"]
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE"}

IN_PATH = [
    "%00",
    "a%00b",
    "%ff%fe",
    "%ED%A0%80",
    "%F0%9F%98%80",
    "%0A",
    "bob%0A",
    "%2E%2E",
    "x" * 5000,
    "%E2%80%AE",
    "'",
]
NO_IDS = [
    "0",
    "-1",
    "-0",
    "1.5",
    "1e3",
    "0x1",
    "9007199254740992",
    "9" * 400,
    "NaN",
    "null",
    "%20",
    "1.0",
    "%201",
    "1%20",
    "+1",
    "1_0",
    "%D9%A1",
    "1%0A",
]
IN_QUERY = ["%00", "a%00", "%ff", "%ED%A0%80", "-1", "9" * 400, "true%00", ""]
SCRIPTS = [
    "👩‍👩‍👧‍👦 🏳️‍🌈 🇧🇷 👍🏽",
    "مرحبا بالعالم",
    "שלום עולם \u202eneddih\u202c",
    "e\u0301 \u00e9 ﬁ Ⅷ",  # not normalized: what was written is what is read
    "\u200b\u200fzero width\ufeff",
    "日本語\n\ttabs and\r\nlines  ",
    "\U0001d49c \U0010ffff \ue000",
    "<script>alert('\"&amp;\\u0041')</script>",
]


@pytest.fixture(autouse=True)
def as_ada(api: Api, world: World) -> Signed:
    """Two people who follow each other, a post with a reply and likes; ada, who moderates, is signed in."""
    ada, bob = world.user("ada", role="moderator"), world.user("bob")
    post = world.post(by=bob)
    world.post(by=ada, parent=post)
    for one, other in ((ada, bob), (bob, ada)):
        world.follow(one, other)
        world.like(one, post)
    as_ada = api.as_(world.sign_in(ada)[0])
    world.sign_in(bob)
    return as_ada


@pytest.fixture(scope="module")
def port(settings: Settings) -> Iterator[int]:
    with served(create_app(settings)) as port:
        yield port


def other_spelling(url: str) -> str:
    return url.removesuffix("/") if url.endswith("/") else url + "/"


def test_a_read_is_the_same_with_and_without_the_last_slash(as_ada: Signed) -> None:
    for url in [*PAGES, *(operation.url for operation in READS if operation.path != "/")]:
        one, other = (as_ada.get(spelling, follow_redirects=False) for spelling in (url, other_spelling(url)))
        assert (one.status_code, other.status_code) == (200, 200), url
        assert one.content == other.content, url


def test_a_write_answers_with_and_without_the_last_slash(api: Api, engine: Engine) -> None:
    # Nobody is signed in and nothing is sent, so that nothing is written.
    refusals = {(401, "not-signed-in"), (422, "invalid-request"), (415, "unsupported-media-type")}
    with unchanged(engine):
        for operation in OPERATIONS:
            if operation not in READS:
                one, other = (
                    problem(api.request(operation.method, url, follow_redirects=False))
                    for url in (operation.url, other_spelling(operation.url))
                )
                assert one == other, operation
                assert one in refusals, operation


def test_head_is_get_without_the_body(port: int, as_ada: Signed) -> None:
    token = as_ada.headers["Authorization"]
    for url in [*PAGES, *(operation.url for operation in READS)]:
        answers = []
        for method in ("GET", "HEAD"):
            with Connection(port) as connection:
                connection.send(
                    f"{method} {url} HTTP/1.1", "Host: x", f"Authorization: {token}", "Connection: close", ""
                )
                status, headers, body = connection.head()
                for name in ("date", "x-request-id", "ratelimit"):  # another with each request
                    headers.pop(name, None)
                answers.append((status, headers, body + connection.rest()))
        (status, headers, body), head = answers
        assert status == 200, url
        assert int(headers["content-length"]) == len(body) > 0
        assert head == (status, headers, b""), url


def test_another_method_is_refused_and_the_right_ones_are_named(as_ada: Signed, engine: Engine) -> None:
    with unchanged(engine):
        for path, methods in DOCUMENT["paths"].items():
            documented = {method.upper() for method in methods}
            right = documented | ({"HEAD"} if "GET" in documented else set())
            for method in METHODS - right:
                response = as_ada.request(method, Operation(method, path).url)
                assert response.status_code == 405, (method, path)
                assert set(response.headers["allow"].split(", ")) == right, (method, path)
                assert method == "HEAD" or problem(response) == (405, "method-not-allowed")


def test_there_is_nothing_elsewhere(api: Api) -> None:
    for path in ("/nothing", "/nothing/", "/post/1/nothing/", "/user/ada/nothing", "//", "/token/x", "/static"):
        for method in ("GET", "POST", "DELETE"):
            response = api.request(method, f"http://testserver{path}")
            assert problem(response) == (404, "not-found")
            assert response.json() == {
                "type": "urn:pamps:problem:not-found",
                "title": "There is nothing at this address",
                "status": 404,
                "detail": "There is nothing at this address",
                "code": "not-found",
            }


def test_odd_characters_in_a_path_are_refused(as_ada: Signed, engine: Engine) -> None:
    with unchanged(engine):
        for operation in OPERATIONS:
            for parameter, odd in product(operation.parameters("path"), IN_PATH):
                response = as_ada.request(operation.method, operation.path.format(**{parameter: odd}))
                assert problem(response)[0] in (404, 422), (operation, odd)


def test_no_path_goes_on_after_its_end(as_ada: Signed) -> None:
    for path in ("/post/%0A", "/post/1/%0A", "/livez%0A", "/livez/%0A", "/openapi.json%0A"):
        assert problem(as_ada.get(path)) in [(404, "not-found"), (422, "invalid-request")], path


def test_an_id_that_can_be_nobodys_is_refused(as_ada: Signed, engine: Engine) -> None:
    with unchanged(engine):
        for operation, number in product(OPERATIONS, NO_IDS):
            if "id" in operation.parameters("path"):
                response = as_ada.request(operation.method, operation.path.format(id=number), json={"text": "x"})
                # To follow somebody takes an id of up to 16 digits, or a username, which some of these could be.
                refusals = [(422, "invalid-request"), (404, "user-not-found")]
                assert problem(response) in refusals[: 2 if "follow" in operation.path else 1], (operation, number)


def test_odd_characters_in_a_query_break_nothing(as_ada: Signed) -> None:
    for operation in READS:
        for parameter, odd in product(operation.parameters("query"), IN_QUERY):
            response = as_ada.get(f"{operation.url}?{parameter}={odd}")
            if parameter == "q" and odd in ("%ff", "%ED%A0%80", "-1"):
                assert (response.status_code, response.json()) == (200, [])
            else:
                assert problem(response) == (422, "invalid-request"), (operation, parameter, odd)
                assert response.json()["errors"][0]["loc"] == ["query", parameter]


def test_any_script_comes_back_as_it_was_sent(api: Api, as_ada: Signed) -> None:
    for said in SCRIPTS:
        post = as_ada.post("/post/", json={"text": said}).json()
        assert (post["text"], api.get(f"/post/{post['id']}/").json()["text"]) == (said, said)
        me = as_ada.patch("/user/me/", json={"name": said, "bio": said}).json()
        assert (me["name"], me["bio"]) == (said, said)
        found = api.get("/user/", params={"q": said}).json()
        assert [(user["username"], user["name"]) for user in found] == [("ada", said)]
