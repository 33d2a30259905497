"""The second factor begun, confirmed and given new recovery codes, sent again with an Idempotency-Key."""

import pytest
from httpx2 import Response
from sqlalchemy import Engine

from tests.again import TWO_FACTOR as HERE
from tests.again import key, same
from tests.api import Api, Signed, problem
from tests.factories import PASSWORD, recovery_code
from tests.guessing import failures, wait
from tests.second_factor import Clock, code
from tests.tables import tables, unchanged

pytest_plugins = ("tests.again_fixtures", "tests.second_factor_fixtures")

REFUSED, WRONG = (403, "code-refused"), (401, "wrong-code")


def begin(who: Signed, headers: dict[str, str], password: str = PASSWORD) -> Response:
    return who.post(HERE, json={"password": password}, headers=headers)


def confirm(who: Signed, headers: dict[str, str], code: str) -> Response:
    return who.post(f"{HERE}confirm/", json={"code": code}, headers=headers)


def renew(who: Signed, headers: dict[str, str], code: str) -> Response:
    return who.post(f"{HERE}recovery-codes/", json={"password": PASSWORD, "code": code}, headers=headers)


def sign_in(api: Api, code: str) -> Response:
    return api.post("/token", data={"username": "ada", "password": PASSWORD, "code": code})


def test_begun_again_with_its_key_it_has_the_secret_that_it_had(as_ada: Signed, clock: Clock, engine: Engine) -> None:
    headers = key()
    first = begin(as_ada, headers)
    assert same(begin(as_ada, headers), first)
    (row,) = tables(engine)["two_factor"]
    assert first.json()["secret"] in row
    assert first.headers["cache-control"] == "no-store"
    assert begin(as_ada, key()).json()["secret"] != first.json()["secret"]


def test_confirmed_again_it_shows_the_same_recovery_codes_however_late(
    api: Api, as_ada: Signed, clock: Clock, engine: Engine
) -> None:
    headers, sent = key(), code(begin(as_ada, {}).json()["secret"])
    first = confirm(as_ada, headers, sent)
    assert len(first.json()["recovery_codes"]) == 10
    clock.now += 3600
    with unchanged(engine):
        assert same(confirm(as_ada, headers, sent), first)
        assert problem(confirm(as_ada, {}, sent)) == (409, "two-factor-on")
        assert problem(confirm(as_ada, headers, "000000")) == (422, "idempotency-key-reused")
    assert sign_in(api, first.json()["recovery_codes"][0]).status_code == 200


@pytest.mark.parametrize("what", ["code", "recovery code"])
def test_new_recovery_codes_are_given_again_for_the_code_that_they_took(
    api: Api, as_ada: Signed, secret: str, engine: Engine, what: str
) -> None:
    headers, sent = key(), code(secret) if what == "code" else recovery_code(0)
    first = renew(as_ada, headers, sent)
    with unchanged(engine):
        assert same(renew(as_ada, headers, sent), first)
        assert problem(renew(as_ada, {}, sent)) == problem(renew(as_ada, key(), sent)) == REFUSED
    used = first.json()["recovery_codes"][0]
    assert sign_in(api, used).status_code == 200
    assert problem(sign_in(api, used)) == WRONG


def test_turned_off_since_it_is_answered_as_it_was(as_ada: Signed, clock: Clock, engine: Engine) -> None:
    begun, confirmed, renewed = key(), key(), key()
    secret = begin(as_ada, begun).json()["secret"]
    answers = [confirm(as_ada, confirmed, code(secret)), renew(as_ada, renewed, code(secret, 30))]
    both = {"password": PASSWORD, "code": answers[1].json()["recovery_codes"][0]}
    assert as_ada.request("DELETE", HERE, json=both).status_code == 204
    assert begin(as_ada, begun).json()["secret"] == secret
    assert same(confirm(as_ada, confirmed, code(secret)), answers[0])
    assert same(renew(as_ada, renewed, code(secret, 30)), answers[1])
    assert tables(engine)["two_factor"] == []


def test_what_was_refused_may_be_mended_with_the_same_key(as_ada: Signed, clock: Clock, engine: Engine) -> None:
    headers = key()
    assert problem(confirm(as_ada, headers, "123456")) == (409, "two-factor-off")
    secret = begin(as_ada, {}).json()["secret"]
    with unchanged(engine):
        assert problem(confirm(as_ada, headers, code(secret, 60))) == REFUSED
    assert confirm(as_ada, headers, code(secret)).status_code == 200


def test_the_right_password_is_no_guess_though_it_is_on_already(as_ada: Signed, secret: str, engine: Engine) -> None:
    with unchanged(engine):
        assert [problem(begin(as_ada, key())) for _ in range(7)] == [(409, "two-factor-on")] * 7
    assert failures(engine, "session", "1") == 0


def test_to_send_them_again_is_no_guess_and_a_wrong_one_is(as_ada: Signed, clock: Clock, engine: Engine) -> None:
    begun, confirmed, renewed = key(), key(), key()
    secret = begin(as_ada, begun).json()["secret"]
    for _ in range(7):
        assert begin(as_ada, begun).status_code == 201
        assert confirm(as_ada, confirmed, code(secret)).status_code == 200
        assert renew(as_ada, renewed, code(secret, 30)).status_code == 200
    assert failures(engine, "session", "1") == 0
    for number in range(5):
        assert problem(begin(as_ada, begun, f"wrong {number}")) == (403, "wrong-password")
    assert failures(engine, "session", "1") == 5
    assert wait(begin(as_ada, begun)) == 100
