"""A client of the service that holds every answer against the OpenAPI document."""

from functools import cache
from typing import Any

import jsonschema_rs
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response

from pamps.routing.route import Route
from tests import owasp

KNOWN: dict[tuple[int, ...], FastAPI] = {}


class Api(TestClient):
    """A test client that fails the test when an answer is not as documented: its status, its media type, its body."""

    def __init__(self, app: FastAPI, **options: Any):
        super().__init__(app, raise_server_exceptions=False, **options)
        self.application = app

    def request(self, method: str, url: Any, **options: Any) -> Response:
        response: Response = super().request(method, url, **options)
        check(alike(self.application), response)
        owasp.check(response)
        return response

    def as_(self, access_token: str) -> "Signed":
        """This client with an access token."""
        return Signed(self, access_token)


class Signed:
    """The API as one signed-in user sees it."""

    def __init__(self, api: Api, access_token: str):
        self.api = api
        self.headers = {"Authorization": f"Bearer {access_token}"}

    def request(self, method: str, url: str, **options: Any) -> Response:
        headers = {**self.headers, **options.pop("headers", {})}
        return self.api.request(method, url, headers=headers, **options)

    def get(self, url: str, **options: Any) -> Response:
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Any) -> Response:
        return self.request("POST", url, **options)

    def put(self, url: str, **options: Any) -> Response:
        return self.request("PUT", url, **options)

    def patch(self, url: str, **options: Any) -> Response:
        return self.request("PATCH", url, **options)

    def delete(self, url: str, **options: Any) -> Response:
        return self.request("DELETE", url, **options)


def problem(response: Response) -> tuple[int, str]:
    """The status and the code of an error."""
    body = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert body["status"] == response.status_code
    return response.status_code, body["code"]


def alike(app: FastAPI) -> FastAPI:
    """The first app with the same document. That depends on our routes and on one setting, and takes long to make."""
    routes = (id(route) for route in app.routes if isinstance(route, Route))
    return KNOWN.setdefault((app.state.settings.post.max_length, *routes), app)


def check(app: FastAPI, response: Response) -> None:
    """Fail unless the OpenAPI document describes this answer."""
    route = route_of(app, response.request.method, response.request.url.path)
    if route is None or not route.include_in_schema:
        return
    operation = app.openapi()["paths"][route.path][response.request.method.lower()]
    if response.status_code == 304:
        assert response.content == b""
        return
    described = operation["responses"].get(str(response.status_code))
    assert described, f"{response.request.method} {route.path} answers an undocumented {response.status_code}"
    content = described.get("content")
    if response.status_code == 204:
        assert response.content == b""
        return
    media_type = response.headers["content-type"].split(";")[0]
    if media_type == "text/html":
        return  # the front page, for people
    assert media_type in content, f"{route.path} answers {media_type}, documented is {list(content)}"
    validator(app, route.path, response.request.method.lower(), response.status_code, media_type).validate(
        response.json()
    )


@cache
def validator(app: FastAPI, path: str, method: str, status: int, media_type: str) -> Any:
    document = app.openapi()
    schema = document["paths"][path][method]["responses"][str(status)]["content"][media_type]["schema"]
    return jsonschema_rs.validator_for({**schema, "components": document["components"]}, validate_formats=True)


def route_of(app: FastAPI, method: str, path: str) -> Route | None:
    """The route that answers a request; None where there is none or it is another method's."""
    for route in app.routes:
        if isinstance(route, Route) and route.path_regex.match(path) and method in (route.methods or ()):
            return route
    return None
