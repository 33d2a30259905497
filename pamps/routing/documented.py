"""What routes answer besides their bodies, for the OpenAPI document."""

from typing import Any

from pamps.errors import PampsError
from pamps.middleware.problems import MEDIA_TYPE


def raises(*kinds: type[PampsError]) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: the errors that only it can know of."""
    found: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        found.setdefault(kind.status, {"raises": []})["raises"].append(kind)
    return found


SENT_WITH = {
    "WWW-Authenticate": "How to sign in (RFC 6750, section 3).",
    "Retry-After": "After how many seconds it may be worth another try.",
}


def header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


CREATED: dict[int | str, dict[str, Any]] = {201: {"headers": {"Location": header("Where it is from now on.")}}}


def documented(kinds: list[type[PampsError]]) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses for errors, several of one status together."""
    found: dict[int | str, dict[str, Any]] = {}
    for status, response in sorted(raises(*dict.fromkeys(kinds)).items()):
        found[status] = {
            "description": "; ".join(f"`{kind.code}`: {kind.title}" for kind in response["raises"]),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        if headers := {name: header(SENT_WITH[name]) for kind in response["raises"] for name in kind.headers}:
            found[status]["headers"] = headers
    return found
