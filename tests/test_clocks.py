"""A clock that jumps: that of the service, while it runs, forwards and backwards, by more than any token lasts."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import httpx2
import pytest

from tests.checkout import ROOT
from tests.factories import PASSWORD
from tests.processes import Server, environment, serving

HOUR = 3600
DAY = 24 * HOUR


@dataclass
class Jumping:
    """A server, its clock, and somebody who uses it."""

    server: Server
    clock: Path
    name: str = ""

    def ahead(self, seconds: int) -> None:
        new = self.clock.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self.clock)

    def sign_in(self) -> dict[str, str]:
        answer = self.server.request("POST", "/token", data={"username": self.name, "password": PASSWORD})
        assert answer.status_code == 200
        found: dict[str, str] = answer.json()
        return found

    def refresh(self, tokens: dict[str, str]) -> httpx2.Response:
        return self.server.request("POST", "/refresh_token", json={"refresh_token": tokens["refresh_token"]})

    def me(self, tokens: dict[str, str]) -> tuple[int, str | None]:
        """What becomes of an access token: a status, and the code of an error."""
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        answer = self.server.request("GET", "/user/me/", headers=headers)
        return answer.status_code, answer.json().get("code")


@pytest.fixture(scope="module")
def started(migrated_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jumping]:
    folder = tmp_path_factory.mktemp("jumping")
    clock = folder / "ahead"
    clock.write_text("0")
    quiet = "ignore:datetime.datetime size changed"  # asyncpg sees that the class is not Python's own
    command = (sys.executable, "-W", quiet, str(ROOT / "tests" / "jumping.py"), str(clock))
    with serving(folder, environment(db__uri=migrated_database()), command=command) as server:
        yield Jumping(server, clock)


@pytest.fixture
def jumping(started: Jumping) -> Jumping:
    """Nobody has jumped yet, and somebody new is there."""
    started.ahead(0)
    started.name = f"user{token_hex(4)}"
    started.server.register(started.name)
    return started


def test_sessions_outlast_every_jump_and_access_tokens_are_renewed(jumping: Jumping) -> None:
    tokens = jumping.sign_in()
    for ahead in (HOUR, 40 * DAY, -40 * DAY, -HOUR, 0):
        jumping.ahead(ahead)
        there = jumping.sign_in()
        assert jumping.me(there) == (200, None)
        renewed = jumping.refresh(tokens)
        assert renewed.status_code == 200, ahead
        tokens = renewed.json()
        assert jumping.me(tokens) == (200, None)
        assert jumping.server.status("/readyz") == 200


def test_a_token_is_as_old_as_the_clock_says_and_the_session_as_old_as_it_is(jumping: Jumping) -> None:
    before = jumping.sign_in()
    jumping.ahead(HOUR)
    assert jumping.me(before) == (401, "token-expired")
    ahead = jumping.sign_in()
    jumping.ahead(0)  # from here, `ahead` is of the future
    assert [jumping.me(tokens) for tokens in (before, ahead)] == [(200, None)] * 2
    assert jumping.server.request("POST", "/revoke_token", json={"token": ahead["access_token"]}).status_code == 200
    assert jumping.me(ahead) == (401, "session-ended")
    jumping.ahead(40 * DAY)
    assert jumping.me(before) == (401, "token-expired")
    assert jumping.refresh(before).status_code == 200


def test_an_answer_is_kept_for_as_long_whatever_the_clock_says(jumping: Jumping) -> None:
    headers = {**jumping.server.sign_in(jumping.name), "Idempotency-Key": "a"}
    first = jumping.server.publish(headers, "Hello!")
    for ahead in (29 * 60, -30 * DAY):
        jumping.ahead(ahead)
        assert jumping.server.publish(headers, "Hello!").json() == first.json()
    jumping.ahead(0)
    assert jumping.server.texts() == {"Hello!"}
