"""The operations that the OpenAPI document lists, for tests of what all of them have in common."""

from typing import Any, NamedTuple

from pamps.app import create_app
from pamps.loading import load_settings

DOCUMENT: dict[str, Any] = create_app(load_settings()).openapi()
# What stands in a path: user 1 is ada, who asks; user 2 is bob, and his are post 1 and session 2.
IN_PATH = {"username": "bob", "id": "1"}


class Operation(NamedTuple):
    """A method of a path."""

    method: str
    path: str

    @property
    def described(self) -> dict[str, Any]:
        found: dict[str, Any] = DOCUMENT["paths"][self.path][self.method.lower()]
        return found

    @property
    def url(self) -> str:
        return self.path.format(**IN_PATH)

    @property
    def media_types(self) -> list[str]:
        """What its body may be; empty where it takes none."""
        return list(self.described.get("requestBody", {}).get("content", ()))

    def parameters(self, place: str) -> list[str]:
        """The names of its parameters in the path or in the query."""
        return [one["name"] for one in self.described.get("parameters", ()) if one["in"] == place]


OPERATIONS = [Operation(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods]
READS = [one for one in OPERATIONS if one.method == "GET"]
WITH_JSON = [one for one in OPERATIONS if "application/json" in one.media_types]
WITH_FORM = [one for one in OPERATIONS if "application/x-www-form-urlencoded" in one.media_types]


def name(operation: Operation) -> str:
    """For the names of tests."""
    return f"{operation.method} {operation.path}"
