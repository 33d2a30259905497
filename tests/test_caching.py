"""What caches and clients may keep: ETag, If-None-Match, Vary, Cache-Control."""

import pytest

from tests.api import Api, Signed
from tests.document import READS
from tests.factories import World

# What is the same for everybody; all else depends on the viewer.
IMPERSONAL = {"/", "/livez", "/readyz"}
SIGNED = ("/user/me/", "/user/timeline/", "/user/{username}/standing/")
PERSONAL = [one for one in READS if one.path not in IMPERSONAL]
PAGES = ["/", "/livez", "/readyz", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"]


@pytest.fixture(autouse=True)
def as_ada(api: Api, world: World) -> Signed:
    ada, bob = world.user("ada", role="moderator"), world.user("bob")
    for _ in range(3):
        world.like(ada, world.post(by=bob))
    world.follow(ada, bob)
    return api.as_(world.sign_in(ada)[0])


def test_what_depends_on_the_viewer_says_so_to_caches(api: Api, as_ada: Signed) -> None:
    for operation in PERSONAL:
        answers = [as_ada.get(operation.url)]
        if not operation.path.startswith(SIGNED):
            answers.append(api.get(operation.url))
        for headers in (answer.headers for answer in answers):
            assert headers["vary"] == "Authorization", operation
            assert headers["cache-control"] == "private, no-cache", operation


def test_what_is_the_same_for_everybody_does_not(api: Api) -> None:
    found = {path: api.get(path).headers for path in PAGES}
    assert api.get("/", headers={"Accept": "application/json"}).headers["vary"] == "Accept"
    assert {path: (one.get("vary"), one.get("cache-control")) for path, one in found.items()} == {
        "/": ("Accept", None),
        "/livez": (None, "no-store"),
        "/readyz": (None, "no-store"),
        "/docs": (None, None),
        "/docs/oauth2-redirect": (None, None),
        "/redoc": (None, None),
        "/openapi.json": (None, None),
    }


def test_what_a_client_has_is_not_sent_again(as_ada: Signed) -> None:
    for url in [*PAGES, *(one.url for one in PERSONAL)]:
        first = as_ada.get(url)
        etag = first.headers["etag"]
        assert etag.startswith('"'), url
        for known in (etag, f"W/{etag}", f'"other", {etag}', f'W/"other",{etag}', "*"):
            again = as_ada.get(url, headers={"If-None-Match": known})
            assert (again.status_code, again.content) == (304, b""), (url, known)
            for name in ("etag", "vary", "cache-control", "link"):
                assert again.headers.get(name) == first.headers.get(name), (url, known, name)


def test_what_a_client_has_not_is_sent(as_ada: Signed) -> None:
    for url in [*PAGES, *(one.url for one in PERSONAL)]:
        etag = as_ada.get(url).headers["etag"]
        for known in ('"other"', "", etag.strip('"'), etag[:-2] + '"', f'"{etag}"'):
            assert as_ada.get(url, headers={"If-None-Match": known}).status_code == 200, (url, known)


def test_a_page_that_is_not_sent_again_still_leads_to_the_next(as_ada: Signed) -> None:
    first = as_ada.get("/post/?limit=1")
    again = as_ada.get("/post/?limit=1", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.links["next"]) == (304, first.links["next"])


def test_a_page_that_has_become_the_last_is_sent_again(as_ada: Signed) -> None:
    """A 304 would leave a cache with the Link that it has."""
    for _ in range(3):
        last = as_ada.post("/post/", json={"text": "x", "parent_id": 1}).json()
    before = as_ada.get("/post/1/replies/?limit=2")
    assert last not in before.json()
    assert as_ada.delete(f"/post/{last['id']}/").status_code == 204
    after = as_ada.get("/post/1/replies/?limit=2", headers={"If-None-Match": before.headers["etag"]})
    assert (after.status_code, after.content, after.links) == (200, before.content, {})


def test_what_changed_has_another_etag(as_ada: Signed, world: World) -> None:
    before = as_ada.get("/post/1/").headers["etag"]
    as_ada.delete("/post/1/like/")
    after = as_ada.get("/post/1/", headers={"If-None-Match": before})
    assert after.status_code == 200
    assert after.headers["etag"] != before


def test_viewers_who_see_something_else_have_another_etag(api: Api, as_ada: Signed) -> None:
    assert api.get("/post/1/").headers["etag"] != as_ada.get("/post/1/").headers["etag"]


def test_the_front_page_and_its_json_have_different_etags(api: Api) -> None:
    page, data = api.get("/"), api.get("/", headers={"Accept": "application/json"})
    assert page.headers["etag"] != data.headers["etag"]
