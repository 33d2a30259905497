"""Every request finds by the directory the route that FastAPI's router would find."""

from typing import Any

from starlette.routing import Match

from pamps.routing.directory import Directory
from pamps.routing.route import Route
from tests.api import Api

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
NOWHERE = ("", "/", "//", "*", "post/", "/POST/", "/post//", "/post/7/x/", "/user/a b/", "/static/logo.svg", "/static/")


def routed(routes: list[Any], method: str, path: str) -> tuple[Route | None, dict[str, str]]:
    """The first of all routes that takes a request, as the router goes through them."""
    for route in routes:
        match, found = route.matches({"type": "http", "method": method, "path": path, "root_path": ""})
        if match is Match.FULL and isinstance(route, Route):
            return route, found["path_params"]
    return None, {}


def test_it_finds_what_the_router_finds(running: Api) -> None:
    routes = running.application.routes
    directory = Directory(routes, running.application.router)
    filled = {route.path.format(id="7", username="ada") for route in routes if isinstance(route, Route)}
    paths = [*filled, *(path.rstrip("/") for path in filled), *(f"{path}/" for path in filled), *NOWHERE]
    asked = [(method, path) for method in METHODS for path in paths]
    found = {one: directory.find(*one) for one in asked}
    assert found == {one: routed(routes, *one) for one in asked}
    assert {id(route) for route, _ in found.values() if route} == {id(one) for one in routes if isinstance(one, Route)}
