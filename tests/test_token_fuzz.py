"""Random tokens: none is accepted, and none breaks the reading."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pamps.models import User
from tests.api import Api, problem
from tests.factories import World
from tests.forge import BASE64URL, claims, hmac_signed, segment, signed, unsigned

without_fresh_tables = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
header_text = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=300)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


@pytest.fixture
def ada(world: World) -> User:
    user = world.user("ada")
    world.sign_in(user)
    return user


def answer(api: Api, token: str) -> tuple[int, str]:
    value = b"Bearer " + token.encode("latin-1")
    return problem(api.get("/user/me/", headers=[(b"Authorization", value)]))


@given(token=header_text | st.lists(header_text, min_size=3, max_size=3).map(".".join))
@without_fresh_tables
def test_no_text_is_a_token(api: Api, ada: User, token: str) -> None:
    assume(token.strip())
    assert answer(api, token) == (401, "invalid-token")


@given(place=st.integers(0, 199), character=st.sampled_from(BASE64URL + ".=!~\xff"), how=st.integers(0, 2))
@without_fresh_tables
def test_a_token_changed_anywhere_is_no_token(api: Api, ada: User, place: int, character: str, how: int) -> None:
    token = signed()
    place %= len(token)
    bent = token[:place] + (character, character, "")[how] + token[place + (1, 0, 1)[how] :]
    assume(bent != token)
    assert answer(api, bent) == (401, "invalid-token")


@given(header=anything, payload=anything, signature=st.binary(max_size=40))
@without_fresh_tables
def test_no_unsigned_content_is_accepted(api: Api, ada: User, header: Any, payload: Any, signature: bytes) -> None:
    assert answer(api, unsigned(header, payload, segment(signature))) == (401, "invalid-token")


@given(change=st.dictionaries(st.sampled_from(["kind", "sub", "sid", "iat", "exp", "iss", "aud", "nbf"]), anything))
@without_fresh_tables
def test_no_signed_claims_break_the_reading(api: Api, ada: User, change: dict[str, Any]) -> None:
    token = hmac_signed(b'{"alg":"HS256"}', json.dumps(claims(**change)).encode())
    response = api.as_(token).get("/user/me/")
    assert response.status_code in (200, 401)
    if response.status_code == 200:
        assert response.json()["username"] == "ada"
