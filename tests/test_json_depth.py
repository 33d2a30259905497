"""JSON that is nested deeper than anything we take is refused before it is parsed, and brackets in texts are texts."""

import pytest
from sqlalchemy import Engine

from pamps.errors import MalformedBody
from pamps.routing.injection import bounded_depth
from tests.api import Api, problem
from tests.factories import World
from tests.tables import unchanged

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("path", ["/post/", "/user/", "/refresh_token", "/revoke_token"])
@pytest.mark.parametrize("nested", [b"[" * 33 + b"]" * 33, b'{"a":' * 33 + b"1" + b"}" * 33, b"[" * 900_000])
def test_what_is_nested_too_deep_is_refused(api: Api, world: World, engine: Engine, path: str, nested: bytes) -> None:
    as_ada = api.as_(world.sign_in(world.user("ada"))[0])
    with unchanged(engine):
        response = as_ada.post(path, content=nested, headers=JSON)
    assert problem(response) == (400, "malformed-body")
    assert response.json()["detail"].startswith("the body is nested more than 32 deep, at ")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("path", ["/refresh_token", "/revoke_token"])
def test_no_other_encoding_hides_how_deep_json_is(api: Api, path: str, encoding: str) -> None:
    # In UTF-16 the sign has a byte that is a quote in ASCII.
    for body in ('{"token": "\u2200", "more": ' + "[" * 100 + "]" * 100 + "}", '{"token": "x"}'):
        assert problem(api.post(path, content=body.encode(encoding), headers=JSON)) == (400, "malformed-body")


def test_a_text_may_be_full_of_brackets(api: Api, world: World) -> None:
    as_ada = api.as_(world.sign_in(world.user("ada"))[0])
    for text in ("[" * 5000, '{"' * 2500, '\\"[' * 1600, "[]" * 2000):
        answer = as_ada.post("/post/", json={"text": text})
        assert (answer.status_code, answer.json()["text"]) == (201, text)


def test_depth_is_of_what_is_open_at_once() -> None:
    bounded_depth(b"[" + b"[1]," * 1000 + b"1]", 2)
    bounded_depth(b'["' + b"[" * 100 + b'\\"' + b"[" * 100, 2)  # a text that does not end is the parser's to refuse
    with pytest.raises(MalformedBody, match="more than 2 deep, at 9"):
        bounded_depth(b'["[\\"[",[[1]]]', 2)
