"""Searching people by how their username or name begins."""

import pytest

from tests.api import Api, problem
from tests.factories import World


@pytest.fixture
def crowd(world: World) -> None:
    world.user("zoe", name="Zoë Ångström")
    world.user("Zorro")
    world.user("adam", name="Ádám_Öreg")
    world.user("bob", name="100% Bob")
    world.user("layla", name="ليلى العامرية")
    world.user("smile", name="😀 Smile")
    world.user("ivan", name="Иван")


FOUND = [
    ("zo", ["Zorro", "zoe"]),
    ("ZO", ["Zorro", "zoe"]),
    ("zoë", ["zoe"]),
    ("ZOË ANG", ["zoe"]),
    ("zoe\u0308", ["zoe"]),  # the same letter, written as two characters
    ("ang", []),  # the start of the name, not of any word in it
    ("adam", ["adam"]),
    ("ádám_o", ["adam"]),
    ("adam%", []),
    ("_", []),
    ("%", []),
    ("100%", ["bob"]),
    ("\\", []),
    ("ليلى", ["layla"]),
    ("😀", ["smile"]),
    ("ИВА", ["ivan"]),
    ("nobody", []),
    ("zoe' OR 'a'='a", []),
]


@pytest.mark.usefixtures("crowd")
def test_a_search_finds_how_a_username_or_a_name_begins(api: Api) -> None:
    for q, found in FOUND:
        assert [user["username"] for user in api.get("/user/", params={"q": q}).json()] == found, q


@pytest.mark.usefixtures("crowd")
def test_a_search_goes_on_over_pages(api: Api) -> None:
    first = api.get("/user/", params={"q": "zo", "limit": 1})
    second = api.get(first.links["next"]["url"])
    assert [user["username"] for user in first.json() + second.json()] == ["Zorro", "zoe"]
    assert "link" not in second.headers


@pytest.mark.usefixtures("crowd")
def test_a_search_tells_a_viewer_whom_they_follow(api: Api, world: World) -> None:
    ada = world.user("ada")
    world.follow(ada, world.user("adele"))
    found = api.as_(world.sign_in(ada)[0]).get("/user/?q=ade").json()
    assert [(user["username"], user["is_following"]) for user in found] == [("adele", True)]


def test_an_unfit_search_is_refused(api: Api) -> None:
    for q in ("", "q" * 101, "\0", "a\0b"):
        response = api.get("/user/", params={"q": q})
        assert problem(response) == (422, "invalid-request"), q
        assert response.json()["errors"][0]["loc"] == ["query", "q"]
