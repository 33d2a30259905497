"""The OpenAPI document: what it says, and that it says it well. test_schemathesis.py holds it against the service."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from pydantic import ValidationError
from schemathesis.specs.openapi.definitions import OPENAPI_31

from pamps import errors
from pamps.app import create_app
from pamps.config import Settings
from pamps.errors import PampsError
from pamps.models.post import PostUpdate
from pamps.models.session import SCOPES
from tests.api import Api, problem
from tests.checkout import ROOT

# Every operation, and the statuses that it can answer, but for the 500 of a mistake of ours, which any may be.
OPERATIONS = {
    "POST /token": "200 400 401 403 409 413 415 422 429 503",
    "POST /refresh_token": "200 400 401 409 413 415 422 429 503",
    "POST /revoke_token": "200 400 409 413 415 422 429 503",
    "GET /user/me/sessions/": "200 304 401 403 422 429 503",
    "DELETE /user/me/sessions/{id}/": "204 401 403 404 413 422 429 503",
    "GET /user/{username}/standing/": "200 304 401 403 404 422 429 503",
    "PUT /user/{username}/suspension/": "200 400 401 403 404 409 413 415 422 429 503",
    "DELETE /user/{username}/suspension/": "200 401 403 404 413 422 429 503",
    "PUT /user/{username}/role/": "200 400 401 403 404 409 413 415 422 429 503",
    "DELETE /post/{id}/by-moderator/": "204 401 403 404 413 422 429 503",
    "GET /user/me/tokens/": "200 304 401 403 422 429 503",
    "POST /user/me/tokens/": "201 400 401 403 409 413 415 422 429 503",
    "DELETE /user/me/tokens/{id}/": "204 401 403 404 413 422 429 503",
    "GET /user/me/two-factor/": "200 304 401 403 429 503",
    "POST /user/me/two-factor/": "201 400 401 403 409 413 415 422 429 503",
    "POST /user/me/two-factor/confirm/": "200 400 401 403 409 413 415 422 429 503",
    "POST /user/me/two-factor/recovery-codes/": "200 400 401 403 409 413 415 422 429 503",
    "DELETE /user/me/two-factor/": "204 400 401 403 409 413 415 422 429 503",
    "POST /user/": "201 400 401 403 409 413 415 422 429 503",
    "GET /user/": "200 304 401 403 422 429 503",
    "GET /user/{username}/": "200 304 401 403 404 422 429 503",
    "GET /user/me/": "200 304 401 403 429 503",
    "PATCH /user/me/": "200 400 401 403 409 413 415 422 429 503",
    "PUT /user/me/password/": "204 400 401 403 413 415 422 429 503",
    "DELETE /user/me/": "204 400 401 403 409 413 415 422 429 503",
    "POST /user/follow/{id}/": "200 201 400 401 403 404 409 413 422 429 503",
    "DELETE /user/follow/{id}/": "200 401 403 404 413 422 429 503",
    "GET /user/{username}/followers/": "200 304 401 403 404 422 429 503",
    "GET /user/{username}/following/": "200 304 401 403 404 422 429 503",
    "GET /user/me/email/": "200 304 401 403 429 503",
    "POST /user/me/email/verification/": "202 400 401 403 409 413 422 429 501 503",
    "POST /email_verification": "204 400 403 409 413 415 422 429 503",
    "POST /password_reset": "202 400 409 413 415 422 429 501 503",
    "POST /password_reset/confirm": "204 400 403 409 413 415 422 429 503",
    "GET /user/timeline/": "200 304 401 403 422 429 503",
    "GET /post/": "200 304 401 403 422 429 503",
    "POST /post/": "201 400 401 403 404 409 413 415 422 429 503",
    "GET /post/{id}/": "200 304 401 403 404 422 429 503",
    "GET /post/{id}/replies/": "200 304 401 403 404 422 429 503",
    "GET /post/{id}/thread/": "200 304 401 403 404 422 429 503",
    "PATCH /post/{id}/": "200 400 401 403 404 413 415 422 429 503",
    "DELETE /post/{id}/": "204 401 403 404 413 422 429 503",
    "GET /post/user/{username}/": "200 304 401 403 404 422 429 503",
    "POST /post/{id}/like/": "200 201 400 401 403 404 409 413 422 429 503",
    "DELETE /post/{id}/like/": "200 401 403 404 413 422 429 503",
    "GET /post/{id}/likes/": "200 304 401 403 404 422 429 503",
    "GET /post/likes/{username}/": "200 304 401 403 404 422 429 503",
    "GET /": "200 304 429 503",
    "GET /livez": "200 304",
    "GET /readyz": "200 304 503",
}
WITHOUT_TOKEN = {
    *("POST /token", "POST /refresh_token", "POST /revoke_token", "GET /", "GET /livez", "GET /readyz"),
    *("POST /email_verification", "POST /password_reset", "POST /password_reset/confirm"),
}
OPEN = {
    "POST /user/", "GET /user/", "GET /user/{username}/", "GET /user/{username}/followers/",
    "GET /user/{username}/following/", "GET /post/", "GET /post/{id}/", "GET /post/{id}/replies/",
    "GET /post/{id}/thread/", "GET /post/user/{username}/", "GET /post/{id}/likes/", "GET /post/likes/{username}/",
}  # fmt: skip
LISTS = {
    "GET /user/me/sessions/", "GET /user/me/tokens/", "GET /user/", "GET /user/{username}/followers/",
    "GET /user/{username}/following/", "GET /user/timeline/", "GET /post/", "GET /post/{id}/replies/",
    "GET /post/user/{username}/", "GET /post/{id}/likes/", "GET /post/likes/{username}/",
}  # fmt: skip
MODERATE = {
    "GET /user/{username}/standing/", "PUT /user/{username}/suspension/", "DELETE /user/{username}/suspension/",
    "PUT /user/{username}/role/", "DELETE /post/{id}/by-moderator/",
}  # fmt: skip
MAKE = {"POST /user/", "POST /post/"}

# What a connection answers by itself.
BEFORE_ANY_ROUTE = {errors.MalformedRequest, errors.RequestTimeout, errors.HeadersTooLarge}

Document = dict[str, Any]


@pytest.fixture(scope="module")
def document(settings: Settings) -> Document:
    return create_app(settings).openapi()


@pytest.fixture(scope="module")
def operations(document: Document) -> dict[str, Any]:
    return {f"{verb.upper()} {path}": it for path, item in document["paths"].items() for verb, it in item.items()}


def test_the_document_is_openapi(document: Document) -> None:
    # Without formats: of tokenUrl this edition of the schema demands a whole URL, OpenAPI itself (4.6) a reference.
    jsonschema_rs.validator_for(OPENAPI_31, validate_formats=False).validate(document)
    assert document["openapi"] == "3.1.0"
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def test_every_operation_is_in_the_document_with_its_answers(operations: dict[str, Any]) -> None:
    found = {name: sorted(operation["responses"]) for name, operation in operations.items()}
    assert found == {name: sorted([*statuses.split(), "500"]) for name, statuses in OPERATIONS.items()}


def test_every_operation_is_described(document: Document, operations: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in document["tags"] if tag["description"]}
    for operation in operations.values():
        assert len(operation["summary"]) > 10
        assert operation["description"]
        (tag,) = operation["tags"]
        assert tag in tags
        assert operation["operationId"].startswith(f"{tag}_")
    assert len({operation["operationId"] for operation in operations.values()}) == len(operations)


def test_the_document_says_who_has_to_sign_in_and_for_what(document: Document, operations: dict[str, Any]) -> None:
    (name, scheme), *others = document["components"]["securitySchemes"].items()
    assert others == []
    assert scheme["type"] == "oauth2"
    flow = scheme["flows"]["password"]
    assert (flow["tokenUrl"], flow["refreshUrl"]) == ("/token", "/refresh_token")
    assert (tuple(flow["scopes"]), all(flow["scopes"].values())) == (SCOPES, True)
    for operation, described in operations.items():
        free = operation in WITHOUT_TOKEN
        by_method = "read" if operation.startswith("GET") else "write"
        scoped = {name: ["admin" if operation in MODERATE else by_method]}
        assert described.get("security") == (None if free else [scoped, {}] if operation in OPEN else [scoped])


def test_an_answer_has_all_its_fields_and_no_other(document: Document, operations: dict[str, Any]) -> None:
    seen: set[str] = set()
    for operation in operations.values():
        for response in operation["responses"].values():
            for content in response.get("content", {}).values():
                seen.update(closed(content.get("schema", {"type": "string"}), document))
    assert seen == {
        "Token", "UserResponse", "UserSummary", "MeResponse", "EmailResponse", "SessionResponse", "PostResponse",
        "ThreadResponse", "PostResponseWithReplies", "PersonalTokenResponse", "PersonalTokenMade",
        "StandingResponse", "Health",
        "Service", "TwoFactorResponse", "TwoFactorSecret", "RecoveryCodes", "Problem", "Invalid",
    }  # fmt: skip


def closed(schema: Any, document: Document) -> Iterator[str]:
    """The names of the models in a schema; fails where an object of one may have more or fewer fields."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/components/schemas/")
        found = document["components"]["schemas"][name]
        fields = set(found["properties"])
        assert found["additionalProperties"] is False, name
        # The one field that is not always there: what is wrong with a request, in a 422.
        assert set(found["required"]) == fields - ({"errors"} if name == "Problem" else set()), name
        yield name
        for field in found["properties"].values():
            yield from closed(field, document)
    elif schema.get("type") == "array":
        yield from closed(schema["items"], document)
    elif schema.get("type") == "object":
        assert schema == {"type": "object", "additionalProperties": False}
    for option in schema.get("anyOf", ()):
        yield from closed(option, document)


def test_a_request_has_no_other_field_and_bounded_texts(document: Document, operations: dict[str, Any]) -> None:
    for operation in operations.values():
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            schema = document["components"]["schemas"][content["schema"]["$ref"].rsplit("/", 1)[1]]
            # A form may say more than is asked for (RFC 6749, section 3.2).
            assert schema.get("additionalProperties", True) is (media_type != "application/json")
            for name, field in schema["properties"].items():
                texts = [one for one in (field, *field.get("anyOf", ())) if one.get("type") == "string"]
                assert all("maxLength" in text or "enum" in text for text in texts) or name == "grant_type", name


def test_the_longest_text_is_the_configured_one(settings: Settings) -> None:
    post = settings.post.model_copy(update={"max_length": 77})
    schemas = create_app(settings.model_copy(update={"post": post})).openapi()["components"]["schemas"]
    for name in ("PostRequest", "PostUpdate"):
        assert schemas[name]["properties"]["text"]["maxLength"] == 77


def test_every_error_is_in_the_document(operations: dict[str, Any]) -> None:
    described = {
        (int(status), code)
        for operation in operations.values()
        for status, response in operation["responses"].items()
        for code in re.findall(r"`([a-z-]+)`: ", response["description"])
    }
    # At start and by commands; at addresses and with methods that the document doesn't have.
    commands = {errors.ConfigurationError, errors.EmbeddedError, errors.BackupError}
    elsewhere = commands | {errors.MethodNotAllowed, errors.NotFound} | BEFORE_ANY_ROUTE
    assert described == {(kind.status, kind.code) for kind in kinds(PampsError) - elsewhere}


def kinds(root: type[PampsError]) -> set[type[PampsError]]:
    """The errors that have a code of their own."""
    return ({root} if "code" in vars(root) else set()).union(*(kinds(kind) for kind in root.__subclasses__()))


def test_headers_that_matter_are_in_the_document(operations: dict[str, Any]) -> None:
    for name, operation in operations.items():
        headers = {status: set(response.get("headers", {})) for status, response in operation["responses"].items()}
        read = {"ETag", "Link"} if name in LISTS else {"ETag"} if name.startswith("GET") else set()
        assert headers.get("200", read) == read
        assert headers.get("201", set()) == ({"Location"} if name in MAKE else set())
        assert headers.get("401", {"WWW-Authenticate"}) == {"WWW-Authenticate"}
        assert headers.get("429", {"Retry-After"}) == {"Retry-After"}
        assert headers.get("503", {"Retry-After"}) == {"Retry-After"}
        in_use = "idempotency-key-in-use" in operation["responses"].get("409", {}).get("description", "")
        assert headers.get("409", set()) == ({"Retry-After"} if in_use else set())


def test_the_service_shows_the_document_it_is_held_against(running: Api, document: Document) -> None:
    assert running.get("/openapi.json").json() == document


def test_the_document_is_the_same_each_time(document: Document, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "1"}
    command = [sys.executable, "-m", "pamps", "openapi"]
    printed = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True).stdout
    assert json.dumps(json.loads(printed)) == json.dumps(document)


def test_a_refused_method_is_told_which_are_not(running: Api) -> None:
    allowed: dict[str, set[str]] = {"/static/swagger-ui.css": {"GET", "HEAD"}}
    for verb, path in (operation.split() for operation in OPERATIONS):
        address = path.format(username="ada", id=1)
        allowed.setdefault(address, set()).update({verb, "HEAD"} if verb == "GET" else {verb})
    for address, methods in allowed.items():
        response = running.request("TRACE", address)
        assert problem(response) == (405, "method-not-allowed")
        assert response.headers["allow"] == ", ".join(sorted(methods))


BLANK = "\t\n\v\f\r \x1f\x85\xa0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"


@pytest.mark.parametrize(
    "text", [*BLANK, BLANK, "", "\0", "a\0", "a", "\u200b", "\u2800", "\U0001f388", f"{BLANK}a{BLANK}"]
)
def test_what_is_blank_is_the_same_to_the_document_and_to_the_service(document: Document, text: str) -> None:
    documented = jsonschema_rs.validator_for(document["components"]["schemas"]["PostUpdate"])
    try:
        PostUpdate.model_validate_json(json.dumps({"text": text}))
    except ValidationError:
        accepted = False
    else:
        accepted = True
    assert accepted is documented.is_valid({"text": text})
    assert accepted is (bool(text.strip(BLANK)) and "\0" not in text)
