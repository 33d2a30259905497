"""Attacks on accounts: many guesses at once, from many addresses, at many accounts; and the owner still gets in."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import Engine, text

from pamps.app import create_app
from pamps.config import Settings
from pamps.models import Device, User
from tests.api import Api
from tests.factories import World
from tests.guessing import EARLY, FAR, HOME, HOME_TOO, WRONG, at, failures, later, sign_in, wait, wrong
from tests.processes import environment, serving


@pytest.fixture
def ada(api: Api, world: World) -> User:
    """Somebody who has signed in at home."""
    ada = world.user("ada")
    assert sign_in(at(api, HOME)).status_code == 200
    return ada


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(20) as threads:
        yield threads


@pytest.fixture
def second(settings: Settings) -> Iterator[Api]:
    """Another Pamps on the same database."""
    with Api(create_app(settings)) as second:
        yield second


@pytest.mark.parametrize("login", ["ada", "nobody"])
def test_of_a_hundred_guesses_at_once_at_two_servers_from_everywhere_five_are_looked_at(
    api: Api, second: Api, world: World, engine: Engine, threads: ThreadPoolExecutor, login: str
) -> None:
    world.user("ada")
    places = [at((api, second)[number % 2], f"203.0.113.{number}") for number in range(100)]
    answers = Counter(threads.map(lambda place: wrong(place, login), places))
    assert answers == {WRONG: 5, EARLY: 95}
    assert failures(engine, "login", login) == 5


def test_of_a_hundred_guesses_at_once_from_one_address_at_everybody_fifty_are_looked_at(
    api: Api, second: Api, engine: Engine, threads: ThreadPoolExecutor
) -> None:
    places = [(at((api, second)[number % 2], FAR), f"user{number}") for number in range(100)]
    answers = Counter(threads.map(lambda place: wrong(*place), places))
    assert answers == {WRONG: 50, EARLY: 50}
    assert failures(engine, "address", FAR) == 50
    assert wrong(at(api, "203.0.113.10"), "user1000") == WRONG


def test_the_addresses_of_one_ipv6_customer_count_as_one(api: Api) -> None:
    assert [wrong(at(api, f"2001:db8::{n:x}"), f"user{n}") for n in range(50)] == [WRONG] * 50
    assert wrong(at(api, "2001:db8::ffff:1:2"), "user50") == EARLY
    assert wrong(at(api, "2001:db8:0:1::1"), "user50") == WRONG


@pytest.mark.usefixtures("ada")
def test_whoever_guesses_elsewhere_holds_up_everybody_but_the_owner_at_home(api: Api, engine: Engine) -> None:
    for number in range(5):
        assert wrong(at(api, f"203.0.113.{number}")) == WRONG
    for number in range(5, 15):
        later(engine, wait(sign_in(at(api, f"203.0.113.{number}"))))
        assert wrong(at(api, f"203.0.113.{number}")) == WRONG
    assert wait(sign_in(at(api, "203.0.113.99"))) == 6400
    assert sign_in(at(api, HOME)).status_code == 200
    # That was the right password, and all is forgotten.
    assert sign_in(at(api, "203.0.113.99")).status_code == 200


@pytest.mark.usefixtures("ada")
def test_another_address_of_the_provider_is_home_as_well(api: Api) -> None:
    assert [wrong(at(api, FAR)) for _ in range(6)] == [*[WRONG] * 5, EARLY]
    assert sign_in(at(api, HOME_TOO)).status_code == 200


@pytest.mark.usefixtures("ada")
def test_guesses_at_home_are_counted_by_themselves(api: Api) -> None:
    assert [wrong(at(api, HOME)) for _ in range(4)] + [wrong(at(api, HOME_TOO))] == [WRONG] * 5
    assert wrong(at(api, HOME)) == wrong(at(api, HOME_TOO)) == EARLY
    assert wrong(at(api, HOME), "somebody") == WRONG
    assert sign_in(at(api, FAR)).status_code == 200
    assert sign_in(at(api, HOME)).status_code == 200  # who knows the password is forgiven, wherever they say it


@pytest.mark.usefixtures("ada")
def test_an_address_that_guesses_at_everybody_does_not_hold_up_who_is_known_there(api: Api) -> None:
    assert Counter(wrong(at(api, HOME), f"user{n}") for n in range(60)) == {WRONG: 50, EARLY: 10}
    assert sign_in(at(api, HOME)).status_code == 200


def test_an_account_of_ones_own_clears_nothing_that_was_guessed_at_others(
    api: Api, world: World, engine: Engine
) -> None:
    for number in range(8):
        world.user(f"own{number}")
        assert [wrong(at(api, FAR), f"user{number}") for _ in range(5)] == [WRONG] * 5
        for _ in range(3):
            assert sign_in(at(api, FAR), f"own{number}").status_code == 200
    assert failures(engine, "address", FAR) == 40


def test_what_an_address_says_of_itself_counts_for_nothing(uri: str, empty: None, tmp_path: Path) -> None:
    with serving(tmp_path, environment(db__uri=uri, guesses__address_free=5)) as server:
        answers = [
            server.request(
                "POST",
                "/token",
                data={"username": f"user{number}", "password": "a wrong one"},
                headers={"X-Forwarded-For": f"203.0.113.{number}", "Forwarded": f"for=203.0.113.{number}"},
            ).status_code
            for number in range(7)
        ]
    assert answers == [401] * 5 + [429] * 2


def test_a_home_is_known_for_90_days_after_the_last_sign_in(api: Api, ada: User, world: World, engine: Engine) -> None:
    def seen(days: int) -> None:
        with engine.begin() as connection:
            ago = text("UPDATE device SET last_seen = now() - make_interval(days => :days)")
            connection.execute(ago, {"days": days})

    assert [wrong(at(api, FAR)) for _ in range(6)] == [*[WRONG] * 5, EARLY]
    seen(91)
    assert wait(sign_in(at(api, HOME))) == 100
    seen(89)
    assert sign_in(at(api, HOME)).status_code == 200
    seen(89)
    assert sign_in(at(api, HOME)).status_code == 200
    assert world.session.get_one(Device, (ada.id, "192.0.2.0/24")).last_seen > datetime.now(UTC) - timedelta(hours=1)


def test_the_latest_20_homes_are_known(api: Api, ada: User, engine: Engine) -> None:
    for number in range(25):
        assert sign_in(at(api, f"10.0.{number}.1")).status_code == 200
    with engine.connect() as connection:
        known = connection.scalars(text("SELECT network FROM device ORDER BY last_seen")).all()
    assert known == [f"10.0.{number}.0/24" for number in range(5, 25)]


def test_homes_of_long_ago_are_swept_by_anybodys_sign_in(api: Api, ada: User, world: World, engine: Engine) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=91)
    for number in range(12):
        world.add(Device(user_id=cast(int, world.user().id), network=f"10.0.{number}.0/24", last_seen=long_ago))
    assert sign_in(at(api, HOME)).status_code == 200
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM device")) == 1 + 12 - 10
