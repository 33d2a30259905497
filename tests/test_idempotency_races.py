"""The same request, sent again before the first one is answered, in any order, and whatever became of the first."""

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from httpx2 import Response
from sqlalchemy import Engine, text

from pamps.app import create_app
from pamps.config import Settings
from tests.again import NEW, count, key, same
from tests.api import Api, Signed, problem
from tests.factories import World
from tests.live import HOST, served
from tests.locks import until_waiting
from tests.test_bad_days import TERMINATE
from tests.watched import until

TOGETHER = 16
HELLO = {"text": "Hello!"}


@pytest.fixture
def as_ada(api: Api, world: World) -> Signed:
    return api.as_(world.sign_in(world.user("ada"))[0])


@pytest.fixture
def live(settings: Settings, as_ada: Signed) -> Iterator[httpx2.Client]:
    """ada, at a service on a real socket."""
    limits = httpx2.Limits(max_connections=TOGETHER)
    with (
        served(create_app(settings)) as port,
        httpx2.Client(base_url=f"http://{HOST}:{port}", headers=as_ada.headers, limits=limits) as client,
    ):
        yield client


@pytest.mark.parametrize(
    ("path", "body", "table"), [("/post/", HELLO, "post"), ("/post/1/like/", None, "like"), ("/user/", NEW, "user")]
)
def test_many_at_once_with_one_key_write_once(
    live: httpx2.Client, world: World, engine: Engine, path: str, body: Any, table: str
) -> None:
    world.post(by=world.user("bob"))
    before = count(engine, table)
    headers = key()
    with ThreadPoolExecutor(TOGETHER) as threads:
        sent = [threads.submit(live.post, path, json=body, headers=headers) for _ in range(TOGETHER)]
        answers = [one.result() for one in sent]
    done = [one for one in answers if one.status_code == 201]
    assert {problem(one) for one in answers if one not in done} <= {(409, "idempotency-key-in-use")}
    assert done
    assert {one.content for one in done} == {live.post(path, json=body, headers=headers).content}
    assert count(engine, table) == before + 1
    assert count(engine, "idempotency_key") == 1


@pytest.mark.parametrize("headers", [{}, key()], ids=["without", "with"])
def test_who_is_broken_off_in_a_deadlock_is_tried_again_with_a_key_and_without(
    as_ada: Signed, engine: Engine, headers: dict[str, str]
) -> None:
    """PostgreSQL says of the first that it is in a deadlock, which leaves nothing of its transaction."""
    with engine.begin() as connection:
        connection.execute(text("CREATE SEQUENCE tried"))
        connection.execute(
            text(
                "CREATE FUNCTION deadlock() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                "IF nextval('tried') = 1 THEN RAISE deadlock_detected; END IF; RETURN NEW; END $$"
            )
        )
        connection.execute(
            text("CREATE TRIGGER deadlock BEFORE INSERT ON post FOR EACH ROW EXECUTE FUNCTION deadlock()")
        )
    try:
        assert as_ada.post("/post/", json=HELLO, headers=headers).status_code == 201
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT last_value FROM tried")) == 2
        assert (count(engine, "post"), count(engine, "idempotency_key")) == (1, len(headers))
    finally:
        with engine.begin() as connection:
            connection.execute(text("DROP FUNCTION deadlock CASCADE"))
            connection.execute(text("DROP SEQUENCE tried"))


def held_up(engine: Engine, threads: ThreadPoolExecutor, as_ada: Signed, headers: dict[str, str]) -> Future[Any]:
    """A request that has claimed its key and waits to write."""
    answer = threads.submit(as_ada.post, "/post/", json=HELLO, headers=headers)
    until_waiting(engine)
    return answer


def test_while_the_first_is_running_the_second_is_told_so(as_ada: Signed, engine: Engine) -> None:
    headers = key()
    with ThreadPoolExecutor(1) as threads:
        with engine.begin() as connection:
            connection.execute(text("LOCK TABLE post IN SHARE MODE"))
            first = held_up(engine, threads, as_ada, headers)
            again = as_ada.post("/post/", json=HELLO, headers=headers)
            assert problem(again) == (409, "idempotency-key-in-use")
            assert again.headers["retry-after"] == "1"
            assert as_ada.post("/user/follow/nobody/", headers=key()).status_code == 404
        assert first.result().status_code == 201
    assert same(as_ada.post("/post/", json=HELLO, headers=headers), first.result())
    assert count(engine, "post") == 1


def test_a_connection_that_is_lost_before_the_end_leaves_neither_a_post_nor_a_key(
    as_ada: Signed, engine: Engine
) -> None:
    headers = key()
    with ThreadPoolExecutor(1) as threads, engine.begin() as connection:
        connection.execute(text("LOCK TABLE idempotency_key IN SHARE MODE"))
        first = held_up(engine, threads, as_ada, headers)  # it has published, and keeps the answer
        with engine.connect() as other:
            assert all(other.scalars(text(TERMINATE)).all())
        assert problem(first.result()) == (503, "database-unavailable")
    assert (count(engine, "post"), count(engine, "idempotency_key")) == (0, 0)
    until(lambda: as_ada.post("/post/", json=HELLO, headers=headers).status_code == 201)
    assert count(engine, "post") == 1


class Client:
    """Somebody who sends requests with a few keys again and again, and what must come of each.

    `kept` is by key what was sent with it first and answered well; `bodies` are few, so that many meet again.
    """

    def __init__(self, who: Signed, chance: random.Random):
        self.who = who
        self.chance = chance
        self.kept: dict[str, tuple[Any, Response]] = {}
        self.posts: set[int] = set()

    def send(self, parents: list[int], gone: list[int]) -> str:
        """One request, and what came of it; fails the test where something else had to."""
        name, path = self.chance.choice("abcdef"), self.chance.choice(["/post/", "/post"])
        parent = self.chance.choice([None, *parents[-2:], *gone[-1:]])
        body = {"text": self.chance.choice("xy"), "parent_id": parent}
        answer = self.who.post(path, json=body, headers=key(name))
        if name in self.kept:
            sent, first = self.kept[name]
            if sent == body:
                assert same(answer, first)
                return "again"
            assert problem(answer) == (422, "idempotency-key-reused")
            return "reused"
        if parent in gone:
            assert problem(answer) == (404, "parent-not-found")
            return "refused"
        assert answer.status_code == 201
        assert answer.json()["id"] not in self.posts
        self.posts.add(answer.json()["id"])
        self.kept[name] = (body, answer)
        return "written"


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_sent_again_the_posts_are_those_of_the_first_answers(
    api: Api, world: World, engine: Engine, seed: int
) -> None:
    chance = random.Random(seed)
    clients = [Client(api.as_(world.sign_in(world.user())[0]), chance) for _ in range(2)]
    outcomes: Counter[str] = Counter()
    gone: list[int] = [999]
    for _ in range(80):
        client = chance.choice(clients)
        alive = sorted(set().union(*(one.posts for one in clients)) - set(gone))
        step = chance.random()
        if step < 0.1 and (mine := sorted(client.posts - set(gone))):
            gone.append(chance.choice(mine))
            assert client.who.delete(f"/post/{gone[-1]}/").status_code == 204
        elif step < 0.13:
            with engine.begin() as connection:
                connection.execute(text("UPDATE idempotency_key SET created_at = created_at - interval '25 hours'"))
            for one in clients:
                one.kept.clear()
        else:
            outcomes[client.send(alive, gone)] += 1
    assert outcomes.keys() == {"again", "reused", "refused", "written"}
    with engine.connect() as connection:
        there = set(connection.scalars(text("SELECT id FROM post WHERE user_id IS NOT NULL")))
    assert there == set().union(*(one.posts for one in clients)) - set(gone)
