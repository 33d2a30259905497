"""Which route a request is for, without asking them all."""

from collections.abc import Iterable

from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from pamps.routing.route import Route

Shape = tuple[str, str, int]


class Directory:
    """ASGI application: our routes by the shape of their paths, a few of each.

    What has no route, or none for its method, and all that is not a `Route`, is left to `others`, FastAPI's router. So
    is everything where FastAPI takes its own traces: its router tells them the route.
    """

    def __init__(self, routes: Iterable[BaseRoute], others: ASGIApp):
        self.others = others
        self.shelves: dict[Shape, list[Route]] = {}
        for route in routes:
            if isinstance(route, Route):
                for method in route.methods or ():
                    self.shelves.setdefault(shape(method, route.path), []).append(route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and "fastapi.telemetry" not in scope:
            route, found = self.find(scope["method"], scope["path"])
            if route:
                scope.update(route=route, endpoint=route.endpoint, path_params=found)
                await route.app(scope, receive, send)
                return
        await self.others(scope, receive, send)

    def find(self, method: str, path: str) -> tuple[Route | None, dict[str, str]]:
        """The route for a request, and what its path says."""
        # HEAD is GET without the body, which the server leaves out by itself (RFC 9110, section 9.3.2).
        for route in self.shelves.get(shape("GET" if method == "HEAD" else method, path), ()):
            if found := route.path_regex.match(path):
                return route, found.groupdict()
        return None, {}


def shape(method: str, path: str) -> Shape:
    """A method, the first segment of a path, and how many there are; the trailing slash makes no difference."""
    segments = path.rstrip("/").partition("/")[2]
    return method, segments.partition("/")[0], segments.count("/")
