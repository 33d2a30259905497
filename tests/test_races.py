"""What happens at the same time: real statements on real connections, in every order that can go wrong."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine, text

from pamps.config import Settings
from pamps.models import Post
from tests.factories import World
from tests.stage import (
    Act,
    Player,
    Stage,
    chaos,
    delete,
    edit,
    follow,
    leave,
    like,
    outcome,
    publish,
    stage,
    unfollow,
    unlike,
)
from tests.test_counters import recount

ROUNDS = 10
REFUSALS = {"ok", "post-not-found", "parent-not-found", "not-the-author", "user-not-found", "session-ended"}


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def on_stage(world: World, runner: asyncio.Runner, settings: Settings, engine: Engine) -> Iterator[Stage]:
    """After every race the counters are right, and no tombstone is left with nothing under it."""
    with stage(world, runner, settings) as on_stage:
        yield on_stage
    recount(engine)


def column(engine: Engine, sql: str) -> list[object]:
    with engine.connect() as connection:
        return list(connection.scalars(text(sql)))


def alive(engine: Engine) -> list[object]:
    return column(engine, "SELECT id FROM post WHERE user_id IS NOT NULL ORDER BY id")


def tombstones(engine: Engine) -> list[object]:
    return column(engine, "SELECT id FROM post WHERE user_id IS NULL ORDER BY id")


# One after the other: the second waits for the first, and sees what it did.


def test_a_post_that_is_just_replied_to_becomes_a_tombstone(on_stage: Stage, engine: Engine) -> None:
    ada, bob = on_stage.players(2)
    post = on_stage.world.post(by=ada.user)
    assert outcome(on_stage.while_open(publish(bob, post), delete(ada, post))) == "ok"
    assert (tombstones(engine), alive(engine)) == ([post.id], [2])


def test_a_post_whose_first_reply_is_not_sent_after_all_just_goes(on_stage: Stage, engine: Engine) -> None:
    ada, bob = on_stage.players(2)
    post = on_stage.world.post(by=ada.user)
    assert outcome(on_stage.while_open(publish(bob, post), delete(ada, post), commit=False)) == "ok"
    assert (tombstones(engine), alive(engine)) == ([], [])


def test_no_reply_to_a_post_that_is_just_deleted(on_stage: Stage, engine: Engine) -> None:
    ada, bob = on_stage.players(2)
    post = on_stage.world.post(by=ada.user)
    assert outcome(on_stage.while_open(delete(ada, post), publish(bob, post))) == "parent-not-found"
    assert (tombstones(engine), alive(engine)) == ([], [])


def test_no_reply_to_a_post_that_is_just_made_a_tombstone(on_stage: Stage, engine: Engine) -> None:
    ada, bob = on_stage.players(2)
    post = on_stage.world.post(by=ada.user)
    reply = on_stage.world.post(by=bob.user, parent=post)
    assert outcome(on_stage.while_open(delete(ada, post), publish(bob, post))) == "parent-not-found"
    assert (tombstones(engine), alive(engine)) == ([post.id], [reply.id])


def test_the_last_two_replies_deleted_at_once_take_the_tombstones_along(on_stage: Stage, engine: Engine) -> None:
    ada, bob, eve = on_stage.players(3)
    root = on_stage.world.post(by=ada.user)
    post = on_stage.world.post(by=ada.user, parent=root)
    first, second = (on_stage.world.post(by=who.user, parent=post) for who in (bob, eve))
    on_stage.at_once(delete(ada, post), delete(ada, root))
    assert tombstones(engine) == [root.id, post.id]
    assert outcome(on_stage.while_open(delete(bob, first), delete(eve, second))) == "ok"
    assert (tombstones(engine), alive(engine)) == ([], [])


def test_a_post_that_is_just_deleted_goes_when_what_is_under_it_goes(on_stage: Stage, engine: Engine) -> None:
    ada, bob = on_stage.players(2)
    root = on_stage.world.post(by=ada.user)
    post = on_stage.world.post(by=ada.user, parent=root)
    reply = on_stage.world.post(by=bob.user, parent=post)
    on_stage.at_once(delete(ada, post))
    assert outcome(on_stage.while_open(delete(ada, root), delete(bob, reply))) == "ok"
    assert (tombstones(engine), alive(engine)) == ([], [])


def test_a_like_of_a_post_that_is_just_deleted_finds_nothing(on_stage: Stage, engine: Engine) -> None:
    ada, bob = on_stage.players(2)
    post = on_stage.world.post(by=ada.user)
    on_stage.world.post(by=ada.user, parent=post)
    assert outcome(on_stage.while_open(delete(ada, post), like(bob, post))) == "post-not-found"
    assert column(engine, 'SELECT user_id FROM "like"') == []


def test_a_post_that_is_just_liked_is_deleted_with_its_like(on_stage: Stage, engine: Engine) -> None:
    ada, bob = on_stage.players(2)
    post = on_stage.world.post(by=ada.user)
    assert outcome(on_stage.while_open(like(bob, post), delete(ada, post))) == "ok"
    assert (alive(engine), column(engine, 'SELECT user_id FROM "like"')) == ([], [])


@pytest.mark.parametrize("second", [edit, delete])
def test_a_post_that_is_just_deleted_is_gone_for_its_author(
    on_stage: Stage, engine: Engine, second: Callable[[Player, Post], Act]
) -> None:
    ada = on_stage.player()
    post = on_stage.world.post(by=ada.user)
    on_stage.world.post(by=ada.user, parent=post)
    assert outcome(on_stage.while_open(delete(ada, post), second(ada, post))) == "post-not-found"
    assert column(engine, "SELECT text FROM post WHERE user_id IS NULL") == [""]


def test_a_post_that_is_just_edited_is_deleted(on_stage: Stage, engine: Engine) -> None:
    ada = on_stage.player()
    post = on_stage.world.post(by=ada.user)
    assert outcome(on_stage.while_open(edit(ada, post), delete(ada, post))) == "ok"
    assert alive(engine) == []


def test_whoever_is_just_leaving_does_nothing_any_more(on_stage: Stage, engine: Engine) -> None:
    ada, bob = on_stage.players(2)
    post = on_stage.world.post(by=bob.user)
    for act in (publish, lambda who: publish(who, post), lambda who: like(who, post), lambda who: follow(who, bob)):
        eve = on_stage.player()
        assert outcome(on_stage.while_open(leave(eve), act(eve))) == "session-ended"
    assert outcome(on_stage.while_open(leave(ada), follow(bob, ada))) == "user-not-found"
    assert (alive(engine), column(engine, "SELECT follower_id FROM social")) == ([post.id], [])


def test_what_somebody_wrote_is_gone_for_those_who_just_answer_it(on_stage: Stage, engine: Engine) -> None:
    bob = on_stage.player()
    for act, refused in ((publish, "parent-not-found"), (like, "post-not-found")):
        ada = on_stage.player()
        post = on_stage.world.post(by=ada.user)
        assert outcome(on_stage.while_open(leave(ada), act(bob, post))) == refused
        assert (tombstones(engine), alive(engine)) == ([], [])


def test_a_reply_is_kept_under_the_post_of_somebody_who_leaves_meanwhile(on_stage: Stage, engine: Engine) -> None:
    ada, bob = on_stage.players(2)
    post = on_stage.world.post(by=ada.user)
    assert outcome(on_stage.while_open(publish(bob, post), leave(ada))) == "ok"
    assert (tombstones(engine), alive(engine)) == ([post.id], [2])


def test_the_same_like_sent_twice_at_once_is_one(on_stage: Stage, engine: Engine) -> None:
    ada = on_stage.player()
    post = on_stage.world.post(by=ada.user)
    again = on_stage.while_open(like(ada, post), like(ada, post))
    assert not isinstance(again, Exception)
    assert again["created"] is False
    assert column(engine, "SELECT like_count FROM post") == [1]


def test_whoever_leaves_in_a_deadlock_with_another_leaves_after_all(on_stage: Stage, engine: Engine) -> None:
    """Who began to wait first is who finds out, after a second, and is broken off; there the other is let through."""
    ada, bob = on_stage.players(2)
    post = on_stage.world.post(by=bob.user)
    on_stage.world.like(ada.user, post)
    assert outcome(on_stage.while_open(edit(bob, post), leave(ada), then=follow(bob, ada))) == "ok"
    assert column(engine, 'SELECT id FROM "user"') == [bob.user.id]
    assert column(engine, "SELECT text FROM post") == ["Changed"]
    assert (column(engine, 'SELECT 1 FROM "like"'), column(engine, "SELECT 1 FROM social")) == ([], [])


# Many at once.


def test_many_like_one_post_at_once(on_stage: Stage, engine: Engine) -> None:
    post = on_stage.world.post(by=on_stage.player().user)
    players = on_stage.players(16)
    for act, count in ((like, 16), (unlike, 0), (like, 16)):
        assert {outcome(answer) for answer in on_stage.at_once(*(act(who, post) for who in players))} == {"ok"}
        assert column(engine, "SELECT like_count FROM post") == [count]


def test_many_reply_to_one_post_at_once(on_stage: Stage, engine: Engine) -> None:
    players = on_stage.players(16)
    post = on_stage.world.post(by=players[0].user)
    answers = on_stage.at_once(*(publish(who, post) for who in players + players))
    assert {outcome(answer) for answer in answers} == {"ok"}
    assert column(engine, "SELECT reply_count FROM post WHERE parent_id IS NULL") == [32]


def test_two_follow_each_other_at_once(on_stage: Stage, engine: Engine) -> None:
    ada, bob = on_stage.players(2)
    for act, count in [(follow, 1), (unfollow, 0)] * ROUNDS:
        answers = on_stage.at_once(*[act(ada, bob), act(bob, ada)] * 3)
        assert {outcome(answer) for answer in answers} == {"ok"}
        assert column(engine, 'SELECT follower_count FROM "user"') == [count, count]


def test_replies_while_the_post_is_deleted_are_under_a_tombstone_or_refused(on_stage: Stage, engine: Engine) -> None:
    ada, *players = on_stage.players(7)
    for _ in range(ROUNDS):
        post = on_stage.world.post(by=ada.user)
        acts = [publish(who, post) for who in players]
        acts.insert(3, delete(ada, post))
        found = [outcome(answer) for answer in on_stage.at_once(*acts)]
        assert found.pop(3) == "ok"
        counted = Counter(found)
        assert counted["ok"] + counted["parent-not-found"] == len(players)
        replies = column(engine, f"SELECT id FROM post WHERE parent_id = {post.id}")
        assert len(replies) == counted["ok"]
        assert (post.id in tombstones(engine)) is bool(replies)


def test_the_last_replies_deleted_at_once_leave_no_tombstone(on_stage: Stage, engine: Engine) -> None:
    ada, *players = on_stage.players(5)
    for _ in range(ROUNDS):
        root = on_stage.world.post(by=ada.user)
        post = on_stage.world.post(by=ada.user, parent=root)
        replies = [on_stage.world.post(by=who.user, parent=post) for who in players]
        acts = [delete(who, reply) for who, reply in zip(players, replies, strict=True)]
        found = [outcome(answer) for answer in on_stage.at_once(delete(ada, root), delete(ada, post), *acts)]
        assert set(found) == {"ok"}
        assert (tombstones(engine), alive(engine)) == ([], [])


def test_unlikes_while_the_post_is_deleted_wait_their_turn(on_stage: Stage, engine: Engine) -> None:
    ada, *players = on_stage.players(9)
    for _ in range(ROUNDS):
        post = on_stage.world.post(by=ada.user)
        on_stage.at_once(*(like(who, post) for who in players))
        acts = [unlike(who, post) for who in players]
        acts.insert(4, delete(ada, post))
        found = [outcome(answer) for answer in on_stage.at_once(*acts)]
        assert found.pop(4) == "ok"
        assert set(found) <= {"ok", "post-not-found"}
        assert (alive(engine), column(engine, 'SELECT user_id FROM "like"')) == ([], [])


@pytest.mark.parametrize("seed", range(5))
def test_whatever_many_do_at_once_is_done_or_refused(on_stage: Stage, seed: int) -> None:
    """Nobody waits in a circle: what is locked is locked by everybody in the same order."""
    acts = chaos(on_stage, on_stage.players(8), random.Random(seed))
    assert {outcome(answer) for answer in on_stage.at_once(*acts)} <= REFUSALS


@pytest.mark.parametrize("seed", range(3))
def test_whatever_many_do_while_some_leave_is_done_or_refused(on_stage: Stage, seed: int) -> None:
    """Leaving locks whatever one has written, liked and followed, in no order: the database may have to refuse one."""
    players, chance = on_stage.players(8), random.Random(seed)
    acts = [*chaos(on_stage, players, chance), *map(leave, players[:2])]
    chance.shuffle(acts)
    assert {outcome(answer) for answer in on_stage.at_once(*acts)} <= REFUSALS | {"database-busy"}
