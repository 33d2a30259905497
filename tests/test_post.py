"""Posts: publish, read, edit; test_tombstones.py deletes them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from pamps.models.shape import MAX_ID
from tests.api import Api, problem
from tests.factories import World
from tests.pages import every_page, ids
from tests.people import Someone
from tests.tables import unchanged

ADA = {"id": 1, "username": "ada", "name": None, "avatar": None}


@pytest.fixture
def ada(api: Api, world: World) -> Someone:
    return Someone(api, world, "ada")


@pytest.fixture
def bob(api: Api, world: World, ada: Someone) -> Someone:
    return Someone(api, world, "bob")


def told(moment: str) -> datetime:
    return datetime.strptime(moment, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def is_now(moment: str) -> bool:
    return abs(datetime.now(UTC) - told(moment)) < timedelta(minutes=1)


def test_a_post_is_published_and_read(api: Api, ada: Someone) -> None:
    response = ada.post("/post/", json={"text": "Hello, world!"})
    assert (response.status_code, response.headers["location"]) == (201, "/post/1/")
    body = response.json()
    date = body.pop("date")
    assert is_now(date)
    assert body == {
        "id": 1,
        "text": "Hello, world!",
        "edited_at": None,
        "user_id": 1,
        "parent_id": None,
        "user": ADA,
        "deleted": False,
        "like_count": 0,
        "reply_count": 0,
        "liked": False,
    }
    assert ada.get("/post/1/").json() == {**body, "date": date, "replies": []}
    assert api.get("/post/1/").json() == {**body, "date": date, "liked": None, "replies": []}
    assert api.get("/post/").json() == [{**body, "date": date, "liked": None}]


def test_an_author_is_shown_as_they_are_now(api: Api, ada: Someone) -> None:
    post = ada.post("/post/", json={"text": "Hello!"}).json()
    ada.patch("/user/me/", json={"name": "Ada Lovelace", "avatar": "https://example.com/ada.png"})
    shown = {**ADA, "name": "Ada Lovelace", "avatar": "https://example.com/ada.png"}
    assert ada.get("/post/1/").json() == {**post, "user": shown, "replies": []}


def test_a_reply_names_its_parent_and_is_counted(ada: Someone, bob: Someone) -> None:
    post = ada.post("/post/", json={"text": "Hello?"}).json()
    reply = bob.post("/post/", json={"text": "Hello!", "parent_id": 1}).json()
    assert (reply["parent_id"], reply["reply_count"], reply["user"]) == (1, 0, bob.summary)
    assert bob.get("/post/1/").json() == {**post, "reply_count": 1, "replies": [reply]}
    assert bob.get("/user/bob/").json()["post_count"] == 1


def test_a_post_comes_with_its_first_twenty_replies_oldest_first(api: Api, world: World, ada: Someone) -> None:
    post = world.post(by=ada.user)
    replies = [world.post(by=ada.user, parent=post).id for _ in range(21)]
    world.post(by=ada.user, parent=world.post(by=ada.user))
    body = api.get("/post/1/").json()
    assert (ids(body["replies"]), body["reply_count"]) == (replies[:20], 21)
    assert ids(api.get("/post/1/replies/").json()) == replies[:20]
    assert ids(every_page(api, "/post/1/replies/?limit=4")) == replies
    assert api.get("/post/2/replies/").json() == []


@pytest.mark.parametrize(
    "text",
    [
        "x",
        " kept ",
        "line\nline\ttab",
        "مرحبا بالعالم",
        "👩‍🚀🏳️‍🌈",
        "'; DROP TABLE post; --",
        '"\\\u2028</script>',
        "\x01\x7f\ufffe",
    ],
)
def test_a_text_is_kept_as_it_was_written(api: Api, ada: Someone, text: str) -> None:
    assert ada.post("/post/", json={"text": text}).json()["text"] == text
    assert api.get("/post/1/").json()["text"] == text
    assert ada.patch("/post/1/", json={"text": f"{text}!"}).json()["text"] == f"{text}!"


def test_a_text_is_measured_in_characters(ada: Someone) -> None:
    assert ada.post("/post/", json={"text": "🎈" * 5000}).status_code == 201
    refused = ada.post("/post/", json={"text": "x" * 5001})
    assert problem(refused) == (422, "invalid-request")
    assert refused.json()["errors"] == [
        {"loc": ["body", "text"], "msg": "String should have at most 5000 characters", "type": "string_too_long"}
    ]
    assert problem(ada.patch("/post/1/", json={"text": "x" * 5001})) == (422, "invalid-request")


@pytest.mark.parametrize("text", [None, "", " ", "\n\t\u2003", "nul\x00", 5, ["x"], {"x": 1}, True])
def test_a_text_that_is_none_is_refused(ada: Someone, world: World, engine: Engine, text: Any) -> None:
    world.post(by=ada.user)
    with unchanged(engine):
        published, edited = ada.post("/post/", json={"text": text}), ada.patch("/post/1/", json={"text": text})
    for refused in (published, edited):
        assert problem(refused) == (422, "invalid-request")
        assert [error["loc"] for error in refused.json()["errors"]] == [["body", "text"]]


@pytest.mark.parametrize("parent", [0, -1, MAX_ID + 1, 10**30, 1.5, "one", "1", [1], True])
def test_a_parent_that_is_no_id_is_refused(ada: Someone, world: World, engine: Engine, parent: Any) -> None:
    world.post(by=ada.user)
    with unchanged(engine):
        refused = ada.post("/post/", json={"text": "x", "parent_id": parent})
    assert problem(refused) == (422, "invalid-request")
    assert refused.json()["errors"][0]["loc"] == ["body", "parent_id"]


@pytest.mark.parametrize("fields", [{"user_id": 2}, {"id": 7}, {"date": "2020-01-01T00:00:00Z"}, {"like_count": 5}])
def test_what_else_a_body_says_is_refused(ada: Someone, world: World, engine: Engine, fields: dict[str, Any]) -> None:
    world.post(by=ada.user)
    with unchanged(engine):
        assert problem(ada.post("/post/", json={"text": "x", **fields})) == (422, "invalid-request")
        assert problem(ada.patch("/post/1/", json={"text": "x", **fields})) == (422, "invalid-request")
        assert problem(ada.patch("/post/1/", json={"text": "x", "parent_id": 1})) == (422, "invalid-request")


@pytest.mark.parametrize(("method", "path"), [("POST", "/post/"), ("PATCH", "/post/1/")])
def test_a_body_that_is_not_json_is_refused(ada: Someone, world: World, engine: Engine, method: str, path: str) -> None:
    world.post(by=ada.user)
    json = {"Content-Type": "application/json"}
    with unchanged(engine):
        for content in (b'{"text": "x"', b"", b"\xff", b"text=x"):
            assert ada.request(method, path, content=content, headers=json).status_code in (400, 422)
        assert problem(ada.request(method, path, content=b'{"text": "x"', headers=json)) == (400, "malformed-body")
        assert problem(ada.request(method, path, data={"text": "x"})) == (415, "unsupported-media-type")


def test_a_reply_to_nothing_is_refused(ada: Someone, engine: Engine) -> None:
    with unchanged(engine):
        assert problem(ada.post("/post/", json={"text": "x", "parent_id": 99})) == (404, "parent-not-found")


def test_a_reply_to_a_tombstone_is_refused(ada: Someone, bob: Someone, world: World, engine: Engine) -> None:
    world.post(by=bob.user, parent=world.post(by=ada.user))
    ada.delete("/post/1/")
    with unchanged(engine):
        assert problem(bob.post("/post/", json={"text": "x", "parent_id": 1})) == (404, "parent-not-found")


WRITES = [
    ("POST", "/post/"),
    ("PATCH", "/post/1/"),
    ("DELETE", "/post/1/"),
    ("POST", "/post/1/like/"),
    ("DELETE", "/post/1/like/"),
]
ON_A_POST = ["/post/{}/", "/post/{}/replies/", "/post/{}/thread/", "/post/{}/likes/"]


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_writing_takes_a_session(api: Api, ada: Someone, world: World, engine: Engine, method: str, path: str) -> None:
    world.like(ada.user, world.post(by=ada.user))
    body = {"json": {"text": "x"}} if path == "/post/" or method == "PATCH" else {}
    with unchanged(engine):
        assert problem(api.request(method, path, **body)) == (401, "not-signed-in")
        assert problem(api.as_("forged").request(method, path, **body)) == (401, "invalid-token")


@pytest.mark.parametrize("id", ["0", "-1", str(MAX_ID + 1), "9" * 40, "x", "1.5", "%00", "1e1"])
def test_an_id_that_is_none_is_refused(ada: Someone, id: str) -> None:
    answers = [ada.get(path.format(id)) for path in ON_A_POST]
    answers += [ada.request(method, f"/post/{id}/like/") for method in ("POST", "DELETE")]
    answers += [ada.delete(f"/post/{id}/"), ada.patch(f"/post/{id}/", json={"text": "x"})]
    for refused in answers:
        assert problem(refused) == (422, "invalid-request")
        assert [error["loc"] for error in refused.json()["errors"]] == [["path", "id"]]


@pytest.mark.parametrize("id", [2, MAX_ID])
def test_what_is_not_there_is_not_found(ada: Someone, world: World, engine: Engine, id: int) -> None:
    world.post(by=ada.user)
    with unchanged(engine):
        for path in ON_A_POST:
            assert problem(ada.get(path.format(id))) == (404, "post-not-found")
        assert problem(ada.patch(f"/post/{id}/", json={"text": "x"})) == (404, "post-not-found")
        assert problem(ada.delete(f"/post/{id}/")) == (404, "post-not-found")
        assert problem(ada.post(f"/post/{id}/like/")) == (404, "post-not-found")
        assert problem(ada.delete(f"/post/{id}/like/")) == (404, "post-not-found")


def test_its_author_edits_a_post(api: Api, ada: Someone, bob: Someone, world: World) -> None:
    post = world.post(by=ada.user, text="Helo")
    world.like(ada.user, post)
    world.post(by=bob.user, parent=post)
    before = ada.get("/post/1/").json()
    response = ada.patch("/post/1/", json={"text": "Hello"})
    assert response.status_code == 200
    edited = response.json()
    assert is_now(edited["edited_at"])
    assert told(edited["edited_at"]) > told(edited["date"])
    assert {**edited, "replies": before["replies"]} == {**before, "text": "Hello", "edited_at": edited["edited_at"]}
    assert ada.get("/post/1/").json() == {**edited, "replies": before["replies"]}


def test_only_the_author_edits_and_deletes(bob: Someone, ada: Someone, world: World, engine: Engine) -> None:
    world.post(by=bob.user, parent=world.post(by=ada.user))
    with unchanged(engine):
        assert problem(bob.patch("/post/1/", json={"text": "his"})) == (403, "not-the-author")
        assert problem(bob.delete("/post/1/")) == (403, "not-the-author")
