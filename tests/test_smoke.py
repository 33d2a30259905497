from sqlalchemy import Engine, text

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


def test_a_world_leaves_no_transaction_open(world: World, engine: Engine) -> None:
    world.post(by=world.user())
    mine = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state ~ 'in transaction'"
    with engine.connect() as connection:
        assert connection.scalar(text(mine)) == 0
