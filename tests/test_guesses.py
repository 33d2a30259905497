"""Guessing passwords: what is counted, how long the next guess has to wait, and what is forgotten."""

from collections.abc import Callable
from pathlib import Path

import pytest
from httpx2 import Response
from sqlalchemy import Engine, text

from pamps.loading import load_settings
from tests.api import Api, Signed, problem
from tests.factories import PASSWORD, World
from tests.guessing import EARLY, FAR, WRONG, at, failures, later, sign_in, wait, wrong
from tests.watched import Watched

pytest_plugins = "tests.watched_fixtures"

DAY = 86_400


def counted(engine: Engine) -> list[tuple[bytes, float]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text("SELECT key, failures FROM attempt ORDER BY key"))]


def test_five_wrong_guesses_are_looked_at_and_the_next_is_not(api: Api, world: World, watched: Watched) -> None:
    world.user("ada")
    assert [wrong(api) for _ in range(5)] == [WRONG] * 5
    assert len(watched.done) == 5
    assert wait(sign_in(api)) == 100
    assert len(watched.done) == 5


def test_each_further_one_waits_twice_as_long(api: Api, world: World, engine: Engine) -> None:
    world.user("ada")
    for _ in range(5):
        wrong(api)
    waits = []
    for _ in range(6):
        waits.append(wait(sign_in(api)))
        later(engine, waits[-1])
        assert wrong(api) == WRONG
    assert waits == [100, 200, 400, 800, 1600, 3200]


def test_by_default_from_a_second_up_to_15_minutes(engine: Engine, tmp_path: Path) -> None:
    guesses = load_settings(tmp_path).guesses
    query = text(
        "SELECT ceil(attempt_wait(n, clock_timestamp(), :account_free, :first_delay, :longest_delay)) "
        "FROM unnest(array_cat(array(SELECT generate_series(0, 17)), ARRAY[5000, 1000000])) AS n"
    )
    with engine.connect() as connection:
        assert connection.scalars(query, guesses.delays).all() == [
            *[0, 0, 0, 0, 0],
            *[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900, 900],
        ]


def test_whoever_waits_as_long_as_retry_after_says_is_looked_at(api: Api, world: World, engine: Engine) -> None:
    world.user("ada")
    for _ in range(5):
        wrong(api)
    for _ in range(3):
        seconds = int(sign_in(api).headers["retry-after"])
        later(engine, seconds - 50)
        assert 0 < int(sign_in(api).headers["retry-after"]) <= 50
        later(engine, 50)
        assert wrong(api) == WRONG


def test_what_comes_too_early_is_not_counted(api: Api, world: World, engine: Engine) -> None:
    world.user("ada")
    for _ in range(5):
        wrong(api)
    before = counted(engine)
    for login in ("ada", "ADA"):
        assert [wrong(api, login) for _ in range(20)] == [EARLY] * 20
    assert counted(engine) == before


def test_a_right_password_forgets_what_was_guessed_at_either_name(api: Api, world: World, engine: Engine) -> None:
    world.user("ada")
    for _ in range(3):
        for login in ("ada", "ada", "ada", "Ada", "ada@example.com", "ADA@example.com", "ada@EXAMPLE.com"):
            assert wrong(at(api, FAR), login) == WRONG
        assert sign_in(at(api, "192.0.2.1")).status_code == 200
        assert failures(engine, "login", "ada") is failures(engine, "login", "ada@example.com") is None


def test_the_two_names_of_an_account_are_counted_apart(api: Api, world: World) -> None:
    """Else what is guessed at one would tell that the other is of the same person."""
    world.user("ada")
    assert [wrong(api) for _ in range(6)] == [*[WRONG] * 5, EARLY]
    assert [wrong(api, "ada@example.com") for _ in range(6)] == [*[WRONG] * 5, EARLY]


def test_nothing_tells_whether_there_is_such_an_account(api: Api, world: World, engine: Engine) -> None:
    world.user("ada")

    def seen(login: str) -> list[tuple[int, str, bool]]:
        found = []
        for step in range(9):
            response = sign_in(api, login, "a wrong one")
            found.append((response.status_code, response.json()["code"], "retry-after" in response.headers))
            if step > 5:
                later(engine, 100)
        return found

    assert seen("ada") == seen("nobody")
    assert seen("ada@example.com") == seen("nobody@example.com")


def test_a_right_password_is_no_guess_however_the_domain_is_spelled(api: Api, world: World) -> None:
    world.second_factor(world.user("ada", email="ada@bücher.example.com"))
    for spelling in ["ada@xn--bcher-kva.example.com", "ada@BÜCHER.example.com"] * 6:
        assert problem(sign_in(api, spelling)) == (401, "code-needed")


def test_what_was_typed_as_a_name_is_kept_as_a_hash_alone(api: Api, engine: Engine) -> None:
    wrong(api, "my password by mistake")
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM attempt")).all()
    assert len(rows) == 2
    assert all(len(key) == 32 for key, *_ in rows)
    assert "mistake" not in str(rows)


def test_failures_fade_within_a_day(api: Api, world: World, engine: Engine) -> None:
    world.user("ada")
    for _ in range(4):
        wrong(api)
    later(engine, DAY / 2)
    wrong(api)
    assert failures(engine, "login", "ada") == 3
    later(engine, DAY)
    wrong(api)
    assert failures(engine, "login", "ada") == 1


def test_what_has_faded_away_is_swept_by_the_next_guess(api: Api, engine: Engine) -> None:
    for number in range(12):
        wrong(at(api, f"198.51.100.{number}"), f"nobody{number}")
    assert len(counted(engine)) == 24
    later(engine, DAY + 1)
    wrong(api, "somebody")
    assert len(counted(engine)) == 24 - 10 + 2


def test_a_clock_that_was_set_back_holds_nobody_up_for_long(api: Api, world: World, engine: Engine) -> None:
    world.user("ada")
    for _ in range(5):
        wrong(api)
    later(engine, -DAY)
    assert wrong(api) == WRONG


PROOFS: dict[str, Callable[[Signed, str], Response]] = {
    "changing it": lambda ada, password: ada.put(
        "/user/me/password/", json={"current_password": password, "new_password": "a better password"}
    ),
    "leaving": lambda ada, password: ada.delete("/user/me/", json={"password": password}),
}


@pytest.mark.parametrize("way", PROOFS)
def test_a_session_guesses_no_faster_and_holds_up_no_other(api: Api, world: World, watched: Watched, way: str) -> None:
    ada = world.user("ada")
    thief, owner = api.as_(world.sign_in(ada)[0]), api.as_(world.sign_in(ada)[0])
    for _ in range(5):
        assert problem(PROOFS[way](thief, "wrong")) == (403, "wrong-password")
    done = len(watched.done)
    for other in PROOFS.values():
        assert wait(other(thief, PASSWORD)) == 100
    assert len(watched.done) == done
    assert sign_in(api).status_code == 200
    assert PROOFS[way](owner, PASSWORD).status_code == 204


def test_a_changed_password_forgets_what_was_guessed_before(api: Api, world: World, engine: Engine) -> None:
    ada = world.user("ada")
    as_ada = api.as_(world.sign_in(ada)[0])
    for _ in range(4):
        wrong(at(api, FAR))
        PROOFS["changing it"](as_ada, "wrong")
    assert (failures(engine, "login", "ada"), failures(engine, "session", "1")) == (4, 4)
    assert PROOFS["changing it"](as_ada, PASSWORD).status_code == 204
    assert failures(engine, "login", "ada") is failures(engine, "session", "1") is None
