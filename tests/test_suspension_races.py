"""Suspending while the suspended do something: whichever comes second knows of the first."""

import random

import pytest
from sqlalchemy import Engine

from tests.stage import (
    Player,
    Stage,
    chaos,
    demote,
    give_role,
    leave,
    let_back,
    like,
    make_token,
    outcome,
    publish,
    suspend,
)
from tests.test_races import REFUSALS, column, on_stage, runner

__all__ = ["on_stage", "runner"]  # fixtures

HIDDEN_WRONGLY = """
    SELECT post.id FROM post LEFT JOIN "user" ON "user".id = user_id
    WHERE hidden IS DISTINCT FROM coalesce(suspended_at IS NOT NULL, false)
"""
SIGNED_IN_WRONGLY = """
    SELECT session.id FROM session JOIN "user" ON "user".id = user_id WHERE suspended_at IS NOT NULL
"""


@pytest.fixture
def root(on_stage: Stage) -> Player:
    return on_stage.player(role="admin")


def consistent(engine: Engine) -> bool:
    return column(engine, HIDDEN_WRONGLY) == column(engine, SIGNED_IN_WRONGLY) == []


def test_a_post_that_is_just_written_is_hidden(on_stage: Stage, engine: Engine, root: Player) -> None:
    ada = on_stage.player()
    assert outcome(on_stage.while_open(publish(ada), suspend(root, ada))) == "ok"
    assert column(engine, "SELECT hidden FROM post") == [True]
    assert consistent(engine)


def test_a_post_that_waits_for_the_suspension_is_hidden(on_stage: Stage, engine: Engine, root: Player) -> None:
    ada = on_stage.player()
    on_stage.while_open(suspend(root, ada), publish(ada))
    assert column(engine, "SELECT hidden FROM post") == [True]
    assert consistent(engine)


def test_a_post_from_before_is_seen_again_when_its_author_is_let_back(
    on_stage: Stage, engine: Engine, root: Player
) -> None:
    ada, bob = on_stage.players(2)
    post = on_stage.world.post(by=ada.user)
    on_stage.at_once(suspend(root, ada))
    assert column(engine, "SELECT hidden FROM post") == [True]
    on_stage.at_once(let_back(root, ada))
    assert column(engine, "SELECT hidden FROM post") == [False]
    assert outcome(on_stage.at_once(like(bob, post))[0]) == "ok"


def test_a_like_or_a_reply_that_waits_for_the_suspension_finds_no_post(
    on_stage: Stage, engine: Engine, root: Player
) -> None:
    bob = on_stage.player()
    for act, refused in ((publish, "parent-not-found"), (like, "post-not-found")):
        ada = on_stage.player()
        post = on_stage.world.post(by=ada.user)
        assert outcome(on_stage.while_open(suspend(root, ada), act(bob, post))) == refused
    assert consistent(engine)


def test_who_is_just_made_a_moderator_is_suspended_by_no_moderator(on_stage: Stage, root: Player) -> None:
    moderator, ada = on_stage.player(role="moderator"), on_stage.player()
    promotion = give_role(root, ada, "moderator")
    assert outcome(on_stage.while_open(promotion, suspend(moderator, ada))) == "not-allowed"


def test_a_token_that_is_just_made_goes_with_the_suspension(on_stage: Stage, engine: Engine, root: Player) -> None:
    ada, bob = on_stage.players(2)
    assert outcome(on_stage.while_open(make_token(ada), suspend(root, ada))) == "ok"
    assert outcome(on_stage.while_open(suspend(root, bob), make_token(bob))) == "session-ended"
    assert consistent(engine)


def test_of_two_admins_who_demote_each_other_one_stays(on_stage: Stage, engine: Engine, root: Player) -> None:
    other = on_stage.player(role="admin")
    assert outcome(on_stage.while_open(demote(root, other), demote(other, root))) == "last-admin"
    assert column(engine, "SELECT id FROM \"user\" WHERE role = 'admin'") == [root.user.id]
    for _ in range(5):
        admins = [root, on_stage.player(role="admin"), on_stage.player(role="admin")]
        acts = [act(by, whom) for by in admins for whom in admins if by is not whom for act in (demote, suspend)]
        on_stage.at_once(*acts)
        left = column(engine, "SELECT id FROM \"user\" WHERE role = 'admin' AND suspended_at IS NULL")
        assert len(left) >= 1
        root = next(one for one in admins if one.user.id in left)


def test_of_two_admins_who_leave_at_once_one_stays(on_stage: Stage, engine: Engine, root: Player) -> None:
    other = on_stage.player(role="admin")
    assert outcome(on_stage.while_open(leave(root), leave(other))) == "last-admin"
    assert column(engine, 'SELECT id FROM "user"') == [other.user.id]
    admins = [other, on_stage.player(role="admin"), on_stage.player(role="admin")]
    assert sorted(map(outcome, on_stage.at_once(*map(leave, admins)))) == ["last-admin", "ok", "ok"]


def test_a_hundred_tokens_and_no_more(on_stage: Stage, engine: Engine) -> None:
    ada, bob = on_stage.players(2)
    on_stage.world.personal_tokens(ada.user, 99)
    assert outcome(on_stage.while_open(make_token(ada, "one"), make_token(ada, "other"))) == "too-many-tokens"
    on_stage.world.personal_tokens(bob.user, 95)
    answers = on_stage.at_once(*(make_token(bob, f"token {number}") for number in range(12)))
    assert sorted(map(outcome, answers)) == ["ok"] * 5 + ["too-many-tokens"] * 7
    held = "SELECT count(*) FROM session WHERE name IS NOT NULL GROUP BY user_id"
    assert column(engine, held) == [100, 100]


@pytest.mark.parametrize("seed", range(3))
def test_whatever_many_do_while_some_are_suspended_and_let_back(
    on_stage: Stage, engine: Engine, root: Player, seed: int
) -> None:
    players, chance = on_stage.players(8), random.Random(seed)
    acts = chaos(on_stage, players, chance)
    acts += [act(root, whom) for whom in players[:3] for act in (suspend, let_back, suspend)]
    chance.shuffle(acts)
    assert {outcome(answer) for answer in on_stage.at_once(*acts)} <= REFUSALS | {"database-busy"}
    assert consistent(engine)
