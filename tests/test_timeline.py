"""The lists of posts: everybody's, one person's, and the timeline."""

import pytest

from pamps.models import Post
from tests.api import Api, problem
from tests.factories import World
from tests.pages import every_page, ids, pages
from tests.people import Someone

LISTS = [
    "/post/",
    "/post/user/bob/",
    "/post/user/bob/?include_replies=true",
    "/user/timeline/",
    "/user/timeline/?include_replies=false",
    "/post/1/replies/",
]


@pytest.fixture
def ada(api: Api, world: World) -> Someone:
    return Someone(api, world, "ada")


@pytest.fixture
def bob(api: Api, world: World, ada: Someone) -> Someone:
    return Someone(api, world, "bob")


@pytest.fixture
def conversation(world: World, ada: Someone, bob: Someone) -> list[Post]:
    """Posts of Bob's and of Ada's, two replies among them; Ada follows Bob."""
    world.follow(ada.user, bob.user)
    first = world.post(by=bob.user, text="bob's first")
    second = world.post(by=ada.user, text="ada's")
    return [
        first,
        second,
        world.post(by=bob.user, text="bob's second"),
        world.post(by=bob.user, text="bob to ada", parent=second),
        world.post(by=ada.user, text="ada to bob", parent=first),
    ]


def texts(client: Api | Someone, url: str) -> list[str]:
    return [post["text"] for post in client.get(url).json()]


@pytest.mark.usefixtures("conversation")
def test_the_public_list_is_everybodys_posts_without_replies(api: Api) -> None:
    assert texts(api, "/post/") == ["bob's second", "ada's", "bob's first"]


@pytest.mark.usefixtures("conversation")
def test_a_persons_list_has_replies_for_who_asks(api: Api) -> None:
    assert texts(api, "/post/user/BOB/") == ["bob's second", "bob's first"]
    assert texts(api, "/post/user/bob/?include_replies=false") == ["bob's second", "bob's first"]
    assert texts(api, "/post/user/bob/?include_replies=true") == ["bob to ada", "bob's second", "bob's first"]


@pytest.mark.usefixtures("conversation")
def test_a_timeline_is_what_the_followed_wrote_with_replies_unless_asked(ada: Someone, bob: Someone) -> None:
    assert texts(ada, "/user/timeline/") == ["bob to ada", "bob's second", "bob's first"]
    assert texts(ada, "/user/timeline/?include_replies=true") == ["bob to ada", "bob's second", "bob's first"]
    assert texts(ada, "/user/timeline/?include_replies=false") == ["bob's second", "bob's first"]
    assert bob.get("/user/timeline/").json() == []


@pytest.mark.usefixtures("conversation")
def test_every_list_shows_posts_as_they_are_shown_alone(ada: Someone, api: Api) -> None:
    ada.post("/post/3/like/")
    for client in (ada, api):
        shown = {key: value for key, value in client.get("/post/3/").json().items() if key != "replies"}
        for url in LISTS[:2] + ([LISTS[3]] if client is ada else []):
            assert shown in client.get(url).json()


def test_a_timeline_follows_the_follows(ada: Someone, world: World) -> None:
    people = [world.user() for _ in range(3)]
    for number in range(6):
        world.post(by=people[number % 3], text=f"{number}")
    world.post(by=ada.user, text="my own")
    for person in people[:2]:
        ada.post(f"/user/follow/{person.id}/")
    assert texts(ada, "/user/timeline/") == ["4", "3", "1", "0"]
    ada.delete(f"/user/follow/{people[0].id}/")
    assert texts(ada, "/user/timeline/") == ["4", "1"]


def test_a_timeline_is_complete_over_its_pages_however_many_one_follows(ada: Someone, world: World) -> None:
    people = [world.user() for _ in range(8)]
    quiet = people[0]
    wrote = [world.post(by=quiet)]
    for person in people:
        world.follow(ada.user, person)
    for number in (1, 1, 1, 2, 3, 4, 5, 6, 7, 7, 1, 2, 2, 6, 0, 3):
        wrote.append(world.post(by=people[number], parent=wrote[-1] if number % 2 else None))
    newest_first = [post.id for post in reversed(wrote)]
    posts_alone = [post.id for post in reversed(wrote) if post.parent_id is None]
    for limit in (1, 2, 3, 5, 100):
        assert ids(every_page(ada, f"/user/timeline/?limit={limit}")) == newest_first
        assert ids(every_page(ada, f"/user/timeline/?limit={limit}&include_replies=false")) == posts_alone


def test_a_timeline_is_for_the_signed_in(api: Api) -> None:
    assert problem(api.get("/user/timeline/")) == (401, "not-signed-in")


@pytest.mark.parametrize("username", ["nobody", "ad"])
def test_a_list_of_nobodys_is_not_found(api: Api, ada: Someone, username: str) -> None:
    assert problem(api.get(f"/post/user/{username}/")) == (404, "user-not-found")


@pytest.mark.parametrize("username", ["x", "_x", "1", "a b", "%00x", "x" * 31])
def test_a_username_that_is_none_is_refused(api: Api, username: str) -> None:
    assert problem(api.get(f"/post/user/{username}/")) == (422, "invalid-request")


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=101", "limit=-1", "limit=x", "limit=1.5"),
        *("cursor=x", "cursor=-1", "cursor=1-2", "cursor=", "cursor=%00", f"cursor={'9' * 17}"),
    ],
)
def test_a_garbled_page_is_refused(ada: Someone, bob: Someone, world: World, query: str) -> None:
    world.post(by=ada.user)
    for url in LISTS:
        assert problem(ada.get(f"{url}{'&' if '?' in url else '?'}{query}")) == (422, "invalid-request")


@pytest.mark.parametrize("url", ["/post/user/bob/", "/user/timeline/"])
def test_a_garbled_choice_of_replies_is_refused(ada: Someone, bob: Someone, url: str) -> None:
    assert problem(ada.get(f"{url}?include_replies=perhaps")) == (422, "invalid-request")


@pytest.mark.parametrize("url", LISTS)
def test_a_page_has_twenty_and_a_link_to_the_next(ada: Someone, bob: Someone, world: World, url: str) -> None:
    world.follow(ada.user, bob.user)
    first = world.post(by=bob.user)
    parent = first if "replies/" in url else None
    wrote = [world.post(by=bob.user, parent=parent).id for _ in range(40)]
    expected = wrote if parent else [*reversed(wrote), first.id]
    found = [ids(page) for page in pages(ada, url)]
    assert found == [expected[start : start + 20] for start in range(0, len(expected), 20)]
    link = ada.get(url).links["next"]["url"]
    assert link.startswith(f"http://testserver{url}{'&' if '?' in url else '?'}cursor=")


@pytest.mark.parametrize("url", LISTS)
def test_no_page_skips_or_repeats_while_others_write(ada: Someone, bob: Someone, world: World, url: str) -> None:
    """What is deleted meanwhile is not shown, what is new is at the newest end, and nothing else moves."""
    world.follow(ada.user, bob.user)
    first = world.post(by=ada.user)
    parent = first if "replies/" in url else None
    wrote = [world.post(by=bob.user, parent=parent).id for _ in range(10)]
    before = wrote if parent else wrote[::-1]
    seen: list[int] = []
    written = []
    for page in pages(ada, f"{url}{'&' if '?' in url else '?'}limit=3"):
        if not seen:
            for gone in (before[1], before[7]):
                assert bob.delete(f"/post/{gone}/").status_code == 204
        seen += ids(page)
        written.append(world.post(by=bob.user, parent=parent).id)
    oldest = [first.id] if url == "/post/" else []
    newest = written[:-1] if parent else []
    assert seen == [*before[:7], *before[8:], *oldest, *newest]
