"""The second factor: turned on and off, asked for at sign-in, and each code good once."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

import pytest
from httpx2 import Response
from sqlalchemy import Engine, text

from pamps import codes
from pamps.models import User
from tests.api import Api, Signed, problem
from tests.factories import PASSWORD, World, recovery_code
from tests.guessing import FAR, at, failures, wait
from tests.second_factor import Clock, code
from tests.tables import tables, unchanged
from tests.test_passwords import bcrypt_hash
from tests.watched import Watched

pytest_plugins = ("tests.second_factor_fixtures", "tests.watched_fixtures")
pytestmark = pytest.mark.usefixtures("clock")

HERE = "/user/me/two-factor/"
NEEDED, WRONG, REFUSED = (401, "code-needed"), (401, "wrong-code"), (403, "code-refused")


@pytest.fixture
def ada(world: World) -> User:
    return world.user("ada")


@pytest.fixture
def as_ada(api: Api, world: World, ada: User) -> Signed:
    return api.as_(world.sign_in(ada)[0])


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def sign_in(api: Api, code: str | None = None, password: str = PASSWORD) -> Response:
    sent = {} if code is None else {"code": code}
    return api.post("/token", data={"username": "ada", "password": password, **sent})


def begun(who: Signed) -> str:
    return str(who.post(HERE, json={"password": PASSWORD}).json()["secret"])


def both(code: str, password: str = PASSWORD) -> dict[str, str]:
    return {"password": password, "code": code}


def test_codes_are_those_of_rfc_6238(clock: Clock) -> None:
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # the RFC's, of appendix B, whose codes have two digits more in front
    for time, right in ((59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")):
        clock.now = time
        assert codes.step_of(right, secret) == time // 30
        assert (
            codes.step_of("000000", secret) is codes.step_of(f"0{right}", secret) is codes.step_of("é", secret) is None
        )


def test_it_is_on_once_a_first_code_has_come(api: Api, as_ada: Signed) -> None:
    off = {"enabled": False, "enabled_at": None, "recovery_codes_left": 0}
    assert as_ada.get(HERE).json() == off
    response = as_ada.post(HERE, json={"password": PASSWORD})
    assert (response.status_code, response.headers["cache-control"]) == (201, "no-store")
    secret, uri = response.json()["secret"], urlsplit(response.json()["uri"])
    assert (uri.scheme, uri.netloc, uri.path) == ("otpauth", "totp", "/pamps:ada")
    assert parse_qs(uri.query) == {"secret": [secret], "issuer": ["pamps"]}
    assert len(secret) == 32
    assert as_ada.get(HERE).json() == off
    assert sign_in(api).status_code == 200

    response = as_ada.post(f"{HERE}confirm/", json={"code": code(secret)})
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    assert len(set(response.json()["recovery_codes"])) == 10
    for recovery in response.json()["recovery_codes"]:  # 16 of 31 characters: 79 bits
        assert re.fullmatch("([2-9a-hjkmnp-z]{4}-){3}[2-9a-hjkmnp-z]{4}", recovery)
    status = as_ada.get(HERE).json()
    assert (status["enabled"], status["recovery_codes_left"]) == (True, 10)
    assert problem(sign_in(api)) == NEEDED
    assert problem(sign_in(api, code(secret))) == WRONG  # it has been used
    assert sign_in(api, code(secret, 30)).status_code == 200
    assert sign_in(api, response.json()["recovery_codes"][3]).status_code == 200


def test_it_is_begun_by_who_knows_the_password(as_ada: Signed, engine: Engine) -> None:
    with unchanged(engine):
        assert problem(as_ada.post(HERE, json={"password": "wrong"})) == (403, "wrong-password")


def test_only_a_code_by_the_secret_begun_last_confirms_it(as_ada: Signed, engine: Engine) -> None:
    first, second = begun(as_ada), begun(as_ada)
    with unchanged(engine):
        for wrong in (code(first), code(second, 60), code(second, -60), "x"):
            assert problem(as_ada.post(f"{HERE}confirm/", json={"code": wrong})) == REFUSED
    assert as_ada.post(f"{HERE}confirm/", json={"code": code(second)}).status_code == 200


def test_there_must_be_one_and_not_two(as_ada: Signed, secret: str, engine: Engine) -> None:
    with unchanged(engine):
        assert problem(as_ada.post(HERE, json={"password": PASSWORD})) == (409, "two-factor-on")
        assert problem(as_ada.post(f"{HERE}confirm/", json={"code": code(secret)})) == (409, "two-factor-on")
    assert as_ada.request("DELETE", HERE, json=both(code(secret))).status_code == 204
    with unchanged(engine):
        for method, path in (("POST", f"{HERE}recovery-codes/"), ("DELETE", HERE)):
            assert problem(as_ada.request(method, path, json=both(code(secret, 30)))) == (409, "two-factor-off")
        assert problem(as_ada.post(f"{HERE}confirm/", json={"code": code(secret)})) == (409, "two-factor-off")


def test_the_code_is_asked_for_once_the_password_is_right(api: Api, secret: str, engine: Engine) -> None:
    with unchanged(engine):
        for sent in (None, "123456", code(secret)):
            assert problem(sign_in(api, sent, "wrong")) == (401, "wrong-credentials")
        assert problem(sign_in(api)) == problem(sign_in(api, "")) == NEEDED
        assert problem(sign_in(api, "12345")) == WRONG
    assert sign_in(api, code(secret)).status_code == 200


def test_a_clock_may_be_off_by_one_step(api: Api, secret: str) -> None:
    assert [problem(sign_in(api, code(secret, off))) for off in (-60, 60)] == [WRONG, WRONG]
    assert sign_in(api, code(secret, -30)).status_code == 200
    assert sign_in(api, f" {code(secret)[:3]} {code(secret)[3:]} ").status_code == 200
    assert sign_in(api, code(secret, 30)).status_code == 200


def test_a_code_is_good_once_and_none_before_it_afterwards(api: Api, secret: str, engine: Engine) -> None:
    assert sign_in(api, code(secret)).status_code == 200
    with unchanged(engine):
        for spent in (code(secret), code(secret, -30)):
            assert problem(sign_in(api, spent)) == WRONG
    assert sign_in(api, code(secret, 30)).status_code == 200


@pytest.mark.parametrize("what", ["code", "recovery code"])
def test_of_two_who_sign_in_with_one_code_at_once_one_does(
    api: Api, secret: str, engine: Engine, watched: Watched, threads: ThreadPoolExecutor, what: str
) -> None:
    sent = code(secret) if what == "code" else recovery_code(0)
    with watched.held_up():
        answers = [threads.submit(sign_in, api, sent) for _ in range(2)]
        watched.wait_for(2)
    found = sorted((answer.result() for answer in answers), key=lambda answer: answer.status_code)
    assert (found[0].status_code, problem(found[1])) == (200, WRONG)
    assert len(tables(engine)["session"]) == 1


def test_a_recovery_code_is_good_once_however_it_is_written(api: Api, as_ada: Signed, secret: str) -> None:
    assert sign_in(api, recovery_code(0)).status_code == 200
    assert problem(sign_in(api, recovery_code(0))) == WRONG
    assert sign_in(api, recovery_code(1).upper().replace("-", " ")).status_code == 200
    assert as_ada.get(HERE).json()["recovery_codes_left"] == 8
    assert sign_in(api, code(secret)).status_code == 200


def test_codes_are_guessed_no_faster_than_passwords(api: Api, secret: str, engine: Engine) -> None:
    assert [problem(sign_in(api, f"00000{n}")) for n in range(5)] == [WRONG] * 5
    assert wait(sign_in(api, code(secret))) == wait(sign_in(api)) == 100
    assert failures(engine, "login", "ada") == 5


def test_asking_whether_a_code_is_needed_is_no_guess(api: Api, secret: str, engine: Engine) -> None:
    assert [problem(sign_in(at(api, FAR))) for _ in range(10)] == [NEEDED] * 10
    assert failures(engine, "login", "ada") == failures(engine, "address", FAR) == 0
    assert sign_in(at(api, FAR), code(secret)).status_code == 200
    assert [problem(sign_in(at(api, FAR))) for _ in range(10)] == [NEEDED] * 10
    assert failures(engine, "device", "1 203.0.113.0/24") == 0


@pytest.mark.parametrize(("method", "path"), [("POST", f"{HERE}recovery-codes/"), ("DELETE", HERE)])
def test_neither_factor_alone_changes_it(
    api: Api, as_ada: Signed, secret: str, engine: Engine, method: str, path: str
) -> None:
    with unchanged(engine):
        assert problem(as_ada.request(method, path, json=both(code(secret), "wrong"))) == (403, "wrong-password")
        for wrong in ("000000", code(secret, 60), "abcd-efgh-jkmn-pqrs"):
            assert problem(as_ada.request(method, path, json=both(wrong))) == REFUSED
    assert as_ada.request(method, path, json=both(code(secret))).is_success


def test_a_session_guesses_codes_no_faster(api: Api, as_ada: Signed, secret: str) -> None:
    for number in range(5):
        assert problem(as_ada.request("DELETE", HERE, json=both(f"00000{number}"))) == REFUSED
    assert wait(as_ada.request("DELETE", HERE, json=both(code(secret)))) == 100
    assert wait(as_ada.post(f"{HERE}confirm/", json={"code": code(secret)})) == 100


KNOWING = {
    "begin": ("POST", HERE, {"password": PASSWORD}, 409),
    "change": ("PUT", "/user/me/password/", {"current_password": PASSWORD, "new_password": PASSWORD}, 204),
}


@pytest.mark.parametrize(("method", "path", "body", "status"), KNOWING.values(), ids=KNOWING)
def test_the_password_alone_forgives_no_wrong_codes(
    api: Api, as_ada: Signed, secret: str, engine: Engine, method: str, path: str, body: dict[str, str], status: int
) -> None:
    def know_the_password() -> None:
        assert as_ada.request(method, path, json=body).status_code == status

    for number in range(4):
        assert problem(sign_in(api, f"00000{number}")) == WRONG
        know_the_password()
    assert failures(engine, "login", "ada") == 4
    for number in range(4):
        assert problem(as_ada.request("DELETE", HERE, json=both(f"00000{number}"))) == REFUSED
        know_the_password()
    assert problem(as_ada.request("DELETE", HERE, json=both("000009"))) == REFUSED
    assert wait(as_ada.request("DELETE", HERE, json=both(code(secret)))) == 100


@pytest.mark.parametrize("what", ["code", "recovery code"])
def test_turned_off_the_password_is_enough(api: Api, as_ada: Signed, secret: str, engine: Engine, what: str) -> None:
    response = as_ada.request("DELETE", HERE, json=both(code(secret) if what == "code" else recovery_code(0)))
    assert (response.status_code, response.content) == (204, b"")
    assert sign_in(api).status_code == sign_in(api, "123456").status_code == 200
    assert tables(engine)["two_factor"] == []


def test_new_recovery_codes_replace_the_old(api: Api, as_ada: Signed, secret: str) -> None:
    fresh = as_ada.post(f"{HERE}recovery-codes/", json=both(recovery_code(0))).json()["recovery_codes"]
    assert problem(sign_in(api, recovery_code(1))) == WRONG
    assert sign_in(api, fresh[0]).status_code == 200
    assert as_ada.get(HERE).json()["recovery_codes_left"] == 9


def test_recovery_codes_lie_hashed(as_ada: Signed, engine: Engine) -> None:
    response = as_ada.post(f"{HERE}confirm/", json={"code": code(begun(as_ada))})
    with engine.connect() as connection:
        (stored,) = connection.scalars(text("SELECT recovery_codes FROM two_factor")).all()
    shown = response.json()["recovery_codes"]
    assert stored == [sha256(one.replace("-", "").encode()).hexdigest() for one in shown]


def test_the_password_alone_changes_the_password_and_the_factor_stays(api: Api, as_ada: Signed, secret: str) -> None:
    change = {"current_password": PASSWORD, "new_password": "a better password"}
    assert as_ada.put("/user/me/password/", json=change).status_code == 204
    assert problem(sign_in(api, password="a better password")) == NEEDED
    assert sign_in(api, code(secret), "a better password").status_code == 200


def test_leaving_takes_the_password_alone(as_ada: Signed, secret: str, engine: Engine) -> None:
    assert as_ada.delete("/user/me/", json={"password": PASSWORD}).status_code == 204
    assert tables(engine)["two_factor"] == []


def test_of_two_sign_ins_that_renew_an_old_hash_at_once_each_uses_its_code(
    api: Api, world: World, watched: Watched, threads: ThreadPoolExecutor
) -> None:
    """One finds another hash than it has verified, which says nothing of its code."""
    world.second_factor(world.user("ada", password_hash=bcrypt_hash(PASSWORD)))
    with watched.held_up():
        answers = [threads.submit(sign_in, api, recovery_code(number)) for number in range(2)]
        watched.wait_for(2)
    assert [answer.result().status_code for answer in answers] == [200, 200]
