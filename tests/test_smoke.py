from tests.api import Api, problem
from tests.factories import World


def test_only_the_author_edits(api: Api, world: World) -> None:
    ada, bob = world.user("ada"), world.user("bob")
    post = world.post(by=ada, text="mine")
    token, _ = world.sign_in(bob)
    assert problem(api.as_(token).patch(f"/post/{post.id}/", json={"text": "his"})) == (403, "not-the-author")
    assert api.get(f"/post/{post.id}/").json()["text"] == "mine"


def test_a_new_place_is_empty(api: Api) -> None:
    assert api.get("/post/").json() == []
