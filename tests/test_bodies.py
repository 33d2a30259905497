"""Bodies that are not what a route takes: each is refused for what is wrong with it, and writes nothing."""

import json
from itertools import product
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.api import Api, Signed, problem
from tests.document import WITH_FORM, WITH_JSON, Operation
from tests.factories import PASSWORD, World
from tests.tables import unchanged

# A body for each route that takes JSON; all of them are good, so that only what a test adds is wrong.
GOOD: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/user/"): {
        "email": "new@example.com",
        "username": "new",
        "password": PASSWORD,
        "name": "New",
        "avatar": "https://example.com/n.png",
        "bio": "New here.",
    },
    ("PATCH", "/user/me/"): {
        "email": "new@example.com",
        "username": "new",
        "name": "New",
        "avatar": "https://example.com/n.png",
        "bio": "New here.",
    },
    ("PUT", "/user/me/password/"): {"current_password": PASSWORD, "new_password": "a better password"},
    ("DELETE", "/user/me/"): {"password": PASSWORD},
    ("POST", "/user/me/tokens/"): {"name": "Script", "scopes": ["read"], "expires_in_days": 7},
    ("POST", "/user/me/two-factor/"): {"password": PASSWORD},
    ("POST", "/user/me/two-factor/confirm/"): {"code": "123456"},
    ("POST", "/user/me/two-factor/recovery-codes/"): {"password": PASSWORD, "code": "123456"},
    ("DELETE", "/user/me/two-factor/"): {"password": PASSWORD, "code": "123456"},
    ("PUT", "/user/{username}/suspension/"): {"reason": "Spam"},
    ("PUT", "/user/{username}/role/"): {"role": "user"},
    ("POST", "/email_verification"): {"token": "x" * 43},
    ("POST", "/password_reset"): {"email": "nobody@example.com"},
    ("POST", "/password_reset/confirm"): {"token": "x" * 43, "new_password": "a better password"},
    ("POST", "/post/"): {"text": "Hello", "parent_id": 1},
    ("PATCH", "/post/{id}/"): {"text": "Hello"},
    ("POST", "/refresh_token"): {"refresh_token": "x"},
    ("POST", "/revoke_token"): {"token": "x"},
}
MALFORMED = [
    b"{",
    b"}",
    b"{'text': 'x'}",
    b'{"text": }',
    b'{"text": "x"',
    b'{"text": "x"} {}',
    b'{"text": "\x00"}',
    b'{"text": "\xff"}',
    b"\xff\xfe\x00",
    b"text",
    b"nul",
    b'"',
    b"{} x",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"text": ' + b"9" * 5000 + b"}",
]
NO_OBJECTS: list[Any] = [[], [{}], "text", "", 1, 0, 1.5, True, None]
NO_JSON = [None, "text/plain", "application/x-www-form-urlencoded", "text/json", "application/jsonp", "json", ""]
NO_FORM = [None, "text/plain", "application/json", "multipart/mixed", "application/x-www-form", ""]
JSON_BY_OTHER_NAMES = ["application/json; charset=utf-8", "APPLICATION/JSON", "application/merge-patch+json"]

FORMS = [b"%", b"&&&", b"=", b"\xff=\xff", b"%zz=%00", b"username", b"a=b;c=d", b"\0"]
MULTIPART_FORMS = [
    b"",
    b"no boundary at all",
    b"--x\r\n\r\n--x--",
    b'--x\r\nContent-Disposition: form-data; name="username"\r\n\r\nada',
    b"\xff" * 100,
    b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n\xff\xff\r\n--x--\r\n',
]


@pytest.fixture
def as_ada(api: Api, world: World) -> Signed:
    ada = world.user("ada")
    world.post(by=ada)
    return api.as_(world.sign_in(ada)[0])


def send(as_ada: Signed, operation: Operation, body: bytes, media_type: str | None = "application/json") -> Any:
    headers = {} if media_type is None else {"Content-Type": media_type}
    return as_ada.request(operation.method, operation.url, content=body, headers=headers)


def good(operation: Operation) -> dict[str, Any]:
    return dict(GOOD[operation.method, operation.path])


def test_every_route_with_a_json_body_is_tested_here() -> None:
    assert {(one.method, one.path) for one in WITH_JSON} == set(GOOD)


def test_malformed_json_is_refused_as_such(as_ada: Signed, engine: Engine) -> None:
    with unchanged(engine):
        for operation, body in product(WITH_JSON, MALFORMED):
            assert problem(send(as_ada, operation, body)) == (400, "malformed-body"), (operation, body[:40])


def test_json_that_is_no_object_is_invalid(as_ada: Signed, engine: Engine) -> None:
    with unchanged(engine):
        for operation, body in product(WITH_JSON, NO_OBJECTS):
            response = send(as_ada, operation, json.dumps(body).encode())
            assert problem(response) == (422, "invalid-request"), (operation, body)
            assert response.json()["errors"][0]["loc"][0] == "body"


def test_no_body_is_invalid(as_ada: Signed, engine: Engine) -> None:
    with unchanged(engine):
        for operation in WITH_JSON:
            invalid, unsupported = (422, "invalid-request"), (415, "unsupported-media-type")
            assert problem(send(as_ada, operation, b"")) == invalid, operation
            # Of one that takes a form as well, nothing says which it is.
            told = unsupported if operation.path == "/revoke_token" else invalid
            assert problem(send(as_ada, operation, b"", None)) == told, operation


def test_an_unknown_field_is_refused_by_name(as_ada: Signed, engine: Engine) -> None:
    with unchanged(engine):
        for operation in WITH_JSON:
            response = send(as_ada, operation, json.dumps({**good(operation), "surprise": 1}).encode())
            assert problem(response) == (422, "invalid-request"), operation
            assert [(one["loc"], one["type"]) for one in response.json()["errors"]] == [
                (["body", "surprise"], "extra_forbidden")
            ]


def test_a_field_of_another_type_is_refused_by_name(as_ada: Signed, engine: Engine) -> None:
    with unchanged(engine):
        for operation in WITH_JSON:
            for field, value in good(operation).items():
                others: list[Any] = [{}, [], [value], {"x": value}, 1.5, "x\0" if isinstance(value, int) else 5]
                for other in others:
                    response = send(as_ada, operation, json.dumps({**good(operation), field: other}).encode())
                    assert problem(response) == (422, "invalid-request"), (operation, field, other)
                    assert response.json()["errors"][0]["loc"][:2] == ["body", field]


def test_a_nul_in_a_text_is_refused(api: Api, world: World, engine: Engine) -> None:
    refusals = {
        "refresh_token": (401, "invalid-token"),
        "current_password": (403, "wrong-password"),
        "password": (403, "wrong-password"),
        "code": (409, "two-factor-off"),
    }
    ada = world.user("ada")
    for operation in WITH_JSON:
        for field, value in good(operation).items():
            if isinstance(value, str) and operation.path != "/revoke_token":
                refusal = refusals.get(field, (422, "invalid-request"))
                if operation.path == "/user/":
                    refusal = (422, "invalid-request")
                as_ada = api.as_(world.sign_in(ada)[0])  # a session of its own: wrong guesses are counted by session
                with unchanged(engine):
                    for odd in (value + "\0", "\0" + value, value[:1] + "\0" + value[1:], "\0"):
                        response = send(as_ada, operation, json.dumps({**good(operation), field: odd}).encode())
                        assert problem(response) == refusal, (operation, field, odd)


def test_half_a_character_is_refused(as_ada: Signed, engine: Engine) -> None:
    with unchanged(engine):
        for operation, odd in product(WITH_JSON, [r"\ud800", r"\udc00\ud800", r"x\udfff"]):
            changes: list[dict[str, Any]] = [{"ODD": 1}, *({field: "ODD"} for field in good(operation))]
            for changed in changes:
                body = json.dumps({**good(operation), **changed}).replace("ODD", odd).encode()
                assert problem(send(as_ada, operation, body))[0] in (400, 422), (operation, changed)


def test_a_body_of_another_media_type_is_refused(as_ada: Signed, engine: Engine) -> None:
    with unchanged(engine):
        for operation, media_type in product(WITH_JSON, NO_JSON):
            if operation not in WITH_FORM or media_type != "application/x-www-form-urlencoded":
                response = send(as_ada, operation, json.dumps(good(operation)).encode(), media_type)
                assert problem(response) == (415, "unsupported-media-type"), (operation, media_type)
        for operation, media_type in product(WITH_FORM, NO_FORM):
            if operation not in WITH_JSON or media_type != "application/json":
                response = send(as_ada, operation, b"username=ada&password=x&token=x", media_type)
                assert problem(response) == (415, "unsupported-media-type"), (operation, media_type)


def test_an_encoded_body_is_refused(as_ada: Signed, engine: Engine) -> None:
    with unchanged(engine):
        for operation, coding in product(WITH_JSON, ["gzip", "br", "GZIP", "identity, gzip"]):
            headers = {"Content-Type": "application/json", "Content-Encoding": coding}
            response = as_ada.request(operation.method, operation.url, json=good(operation), headers=headers)
            assert problem(response) == (415, "unsupported-media-type"), (operation, coding)
    plain = {"Content-Encoding": "identity"}
    assert as_ada.patch("/post/1/", json={"text": "changed"}, headers=plain).status_code == 200


def test_what_is_there_twice_is_refused(as_ada: Signed, engine: Engine) -> None:
    """Of two values somebody on the way may have looked at the other one."""
    with unchanged(engine):
        for operation in WITH_JSON:
            for field, value in good(operation).items():
                twice = json.dumps(good(operation))[:-1] + f", {json.dumps(field)}: {json.dumps(value)}}}"
                assert problem(send(as_ada, operation, twice.encode())) == (400, "malformed-body"), (operation, field)
        for operation in WITH_FORM:
            for body in (b"username=ada&password=x&token=x&token=y&username=bob", b"token=&username=&token=&username="):
                response = send(as_ada, operation, body, "application/x-www-form-urlencoded")
                assert problem(response) == (400, "malformed-body"), (operation, body)


def test_json_goes_by_other_names_too(as_ada: Signed) -> None:
    for media_type in JSON_BY_OTHER_NAMES:
        changed = send(as_ada, Operation("PATCH", "/post/{id}/"), b'{"text": "changed"}', media_type)
        assert (changed.status_code, changed.json()["text"]) == (200, "changed")


def test_a_garbled_form_is_refused(as_ada: Signed, engine: Engine) -> None:
    with unchanged(engine):
        for operation in WITH_FORM:
            for body in FORMS:
                response = send(as_ada, operation, body, "application/x-www-form-urlencoded")
                assert problem(response)[0] in (400, 422), (operation, body)
            for body, boundary in product(MULTIPART_FORMS, ["; boundary=x", ""]):
                response = send(as_ada, operation, body, f"multipart/form-data{boundary}")
                assert problem(response)[0] in (400, 422), (operation, body)
