"""How passwords are kept: which hashes, who is told what, and how much work at once."""

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bcrypt
import pytest
from httpx2 import Response
from passlib.context import CryptContext
from sqlalchemy import Engine, text

from benchmarks.processes import memory_mb
from pamps.loading import load_settings
from pamps.passwords import Passwords
from tests.api import Api, problem
from tests.factories import PASSWORD, World
from tests.tables import tables, unchanged
from tests.watched import Watched, until

pytest_plugins = "tests.watched_fixtures"

LONG = "é🔑x" * 20  # 140 bytes; byte 72 lies within a character


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def sign_in(api: Api, username: str = "ada", password: str = PASSWORD) -> Response:
    return api.post("/token", data={"username": username, "password": password})


def hash_of(engine: Engine, username: str) -> str:
    with engine.connect() as connection:
        return str(
            connection.scalar(text('SELECT password_hash FROM "user" WHERE username = :name'), {"name": username})
        )


def set_hash(engine: Engine, username: str, password_hash: str) -> None:
    with engine.begin() as connection:
        connection.execute(
            text('UPDATE "user" SET password_hash = :hash WHERE username = :name'),
            {"hash": password_hash, "name": username},
        )


def bcrypt_hash(password: str, prefix: bytes = b"2b") -> str:
    made = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4))
    return made.replace(b"$2b$", b"$" + prefix + b"$").decode()


def test_passwords_are_hashed_by_argon2id_at_the_cost_that_owasp_recommends(tmp_path: Path) -> None:
    made = Passwords(load_settings(tmp_path).security).context.hash(PASSWORD)
    assert made.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_the_same_password_has_another_hash_each_time(api: Api, engine: Engine) -> None:
    for name in ("ada", "bob"):
        api.post("/user/", json={"email": f"{name}@example.com", "username": name, "password": PASSWORD})
    assert hash_of(engine, "ada") != hash_of(engine, "bob")


def test_the_memory_that_passwords_take_is_given_back(tmp_path: Path) -> None:
    settings = load_settings(tmp_path).security
    passwords = Passwords(settings)

    async def hash_some() -> None:
        await asyncio.gather(*(passwords.hash(PASSWORD) for _ in range(4)))

    before = memory_mb(os.getpid())
    asyncio.run(hash_some())
    assert memory_mb(os.getpid()) - before < settings.argon2_memory * 1024 / 1e6  # what a single one takes


@pytest.mark.parametrize("prefix", [b"2a", b"2b", b"2y"])
@pytest.mark.parametrize("password", [PASSWORD, LONG])
def test_a_bcrypt_hash_is_accepted_and_upgraded_at_the_next_sign_in(
    api: Api, world: World, engine: Engine, prefix: bytes, password: str
) -> None:
    world.user("ada", password_hash=bcrypt_hash(password, prefix))
    token = sign_in(api, password=password).json()["access_token"]
    upgraded = hash_of(engine, "ada")
    assert upgraded.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert api.as_(token).get("/user/me/").status_code == 200
    assert sign_in(api, password=password).status_code == 200
    assert hash_of(engine, "ada") == upgraded


def test_bcrypt_knows_72_bytes_of_a_password_and_argon2_all_of_it(api: Api, world: World) -> None:
    world.user("ada", password_hash=bcrypt_hash(LONG))
    assert problem(sign_in(api, password=LONG[:20])) == (401, "wrong-credentials")
    assert sign_in(api, password=LONG).status_code == 200
    assert problem(sign_in(api, password=LONG + "x")) == (401, "wrong-credentials")


def test_a_wrong_password_upgrades_nothing(api: Api, world: World, engine: Engine) -> None:
    world.user("ada", password_hash=bcrypt_hash(PASSWORD))
    with unchanged(engine):
        assert problem(sign_in(api, password="wrong")) == (401, "wrong-credentials")


def test_a_hash_of_another_cost_is_upgraded_at_the_next_sign_in(api: Api, world: World, engine: Engine) -> None:
    costly = CryptContext(["argon2"], argon2__memory_cost=64, argon2__time_cost=3, argon2__parallelism=2)
    world.user("ada", password_hash=costly.hash(PASSWORD))
    assert sign_in(api).status_code == 200
    assert hash_of(engine, "ada").startswith("$argon2id$v=19$m=8,t=1,p=1$")


@pytest.mark.parametrize(
    "unreadable", ["", "!", PASSWORD, "$argon2id$", "$2b$04$short", "$1$old$LdV.dPxDwFJjLSTLbJ2Hn0"]
)
def test_a_hash_that_cannot_be_read_lets_nobody_in(api: Api, world: World, engine: Engine, unreadable: str) -> None:
    world.user("ada", password_hash=unreadable)
    with unchanged(engine):
        assert problem(sign_in(api)) == (401, "wrong-credentials")
        assert problem(sign_in(api, password=unreadable or "x")) == (401, "wrong-credentials")


def test_an_unknown_user_costs_the_same_work_as_a_wrong_password(api: Api, world: World, watched: Watched) -> None:
    world.user("ada")
    sign_in(api, password="wrong")
    known, watched.done = watched.done, []
    sign_in(api, username="nobody", password="wrong")
    assert watched.done == known == ["verify"]
    passwords = api.application.state.passwords
    assert not passwords.outdated(passwords.dummy)  # it is of the same kind and cost as a real one


def test_no_password_opens_the_account_of_an_unknown_user(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = api.application.state.passwords
    monkeypatch.setattr(passwords, "dummy", passwords.context.hash("known"))
    assert problem(sign_in(api, username="nobody", password="known")) == (401, "wrong-credentials")
    assert api.portal is not None
    assert api.portal.call(passwords.verify, "known", None) is False


def test_only_so_many_passwords_are_worked_on_at_once_and_others_are_served_meanwhile(
    api: Api, world: World, watched: Watched, threads: ThreadPoolExecutor
) -> None:
    world.user("ada")
    limiter = api.application.state.passwords.limiter
    assert limiter.total_tokens == api.application.state.settings.security.hash_concurrency == 2
    with watched.held_up():
        answers = [threads.submit(sign_in, api) for _ in range(4)]
        answers += [
            threads.submit(api.post, "/user/", json={"email": f"{n}@example.com", "username": n, "password": PASSWORD})
            for n in ("bob", "cora")
        ]
        until(lambda: limiter.statistics().tasks_waiting == 4)
        watched.wait_for(2)
        assert api.get("/livez").status_code == 200
        assert api.get("/post/").status_code == 200
    assert sorted(answer.result().status_code for answer in answers) == [200, 200, 200, 200, 201, 201]
    assert (watched.most_at_work, len(watched.done)) == (2, 6)


def test_a_password_changed_while_a_sign_in_is_verifying_gives_no_session(
    api: Api, world: World, engine: Engine, watched: Watched, threads: ThreadPoolExecutor
) -> None:
    world.user("ada")
    other = world.passwords.context.hash("another password")
    with watched.held_up():
        answer = threads.submit(sign_in, api)
        watched.wait_for(1)
        set_hash(engine, "ada", other)
    assert problem(answer.result()) == (401, "wrong-credentials")
    assert tables(engine)["session"] == []
    assert hash_of(engine, "ada") == other


def test_a_password_changed_while_an_upgrade_is_hashed_stays_changed(
    api: Api, world: World, engine: Engine, watched: Watched, threads: ThreadPoolExecutor
) -> None:
    world.user("ada", password_hash=bcrypt_hash(PASSWORD))
    other = world.passwords.context.hash("another password")
    with watched.held_up():
        answer = threads.submit(sign_in, api)
        watched.wait_for(1)
        set_hash(engine, "ada", other)
    assert problem(answer.result()) == (401, "wrong-credentials")
    assert (hash_of(engine, "ada"), tables(engine)["session"]) == (other, [])


def test_two_sign_ins_that_upgrade_one_hash_at_once_both_succeed(
    api: Api, world: World, engine: Engine, watched: Watched, threads: ThreadPoolExecutor
) -> None:
    world.user("ada", password_hash=bcrypt_hash(PASSWORD))
    with watched.held_up():
        answers = [threads.submit(sign_in, api) for _ in range(2)]
        watched.wait_for(2)
    assert [answer.result().status_code for answer in answers] == [200, 200]
    assert len(tables(engine)["session"]) == 2


def test_of_two_who_change_one_password_at_once_only_one_does(
    api: Api, world: World, watched: Watched, threads: ThreadPoolExecutor
) -> None:
    ada = world.user("ada")
    with watched.held_up():
        answers = [
            threads.submit(
                api.as_(world.sign_in(ada)[0]).put,
                "/user/me/password/",
                json={"current_password": PASSWORD, "new_password": f"password {n}"},
            )
            for n in (0, 1)
        ]
        watched.wait_for(2)
    done = [answer.result().status_code for answer in answers]
    assert sorted(done) == [204, 401]
    winner = done.index(204)
    assert [sign_in(api, password=f"password {n}").status_code for n in (winner, 1 - winner)] == [200, 401]
