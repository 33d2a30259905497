"""What can be known of each request from outside: its id, the line that it leaves in the log, what is counted."""

import logging
import re
from collections.abc import Awaitable
from random import getrandbits
from time import perf_counter
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pamps.logs import CODE, REQUEST_ID, ROUTE, USER, RequestLog

if TYPE_CHECKING:  # it is imported only where it is wanted
    from pamps.metrics import Metrics

log = logging.getLogger("pamps")
HEADER = b"x-request-id"
WATCHING = "pamps.watching"  # where connections find it: in the state of the application's lifespan
# In the scope of a request: its id; and the status, size and code of what its connection answered it with, if it did.
ID, REFUSED = "pamps.id", "pamps.refused"
# Enough for a UUID or the id of a trace; but no token, by mistake.
WELL_FORMED = re.compile(rb"(?!eyJ|pamps_)[A-Za-z0-9._-]{1,64}")


class Watching:
    """ASGI middleware: each request has an id, the one in its X-Request-ID or a new one, leaves a line, and is counted.

    The line has the route's template instead of the path, and nothing of the query: those may hold what is private.
    What a connection refuses before it is a request it tells itself.
    """

    def __init__(self, app: ASGIApp, log: RequestLog | None, metrics: "Metrics | None"):
        self.app = app
        self.log = log
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = perf_counter()
        if self.metrics:
            self.metrics.in_flight += 1
        request_id = identified(scope)
        # Not taken back: what uvicorn has to say when this has ended is about this request, too.
        REQUEST_ID.set(request_id)
        status: int | None = None  # of an answer that was never begun
        size = 0
        whole = False

        def watched(message: Message) -> Awaitable[None]:
            nonlocal status, size, whole
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((HEADER, request_id.encode()))
            else:
                size += len(message.get("body", b""))
                whole = not message.get("more_body")
            return send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            if not whole:
                raise
            # It has been answered with a problem; uvicorn would close the connection besides.
            log.error("a mistake of ours: %s", type(error).__name__, exc_info=error)
        finally:
            if REFUSED in scope:
                status, size, scope[CODE] = scope[REFUSED]
            if self.metrics:
                self.metrics.in_flight -= 1
            self.leave(scope, status, size, perf_counter() - begun)

    def leave(self, scope: Scope, status: int | None, size: int, seconds: float) -> None:
        """Leave the line of a request, and count it."""
        if self.log:
            self.log.add(line_of(scope, status, size, seconds))
        if self.metrics:
            self.metrics.answered(scope["method"], template(scope), status, scope.get(CODE), seconds)


def identified(scope: Scope) -> str:
    """The id of a request, from now on: the one that it brings along, or a new one."""
    if ID in scope:
        return str(scope[ID])
    for name, value in scope["headers"]:
        if name == HEADER and WELL_FORMED.fullmatch(value):
            found = str(value, "ascii")
            break
    else:
        found = f"{getrandbits(64):016x}"  # nosec B311 # it has to be another each time, not a secret
    scope[ID] = found
    return found


def template(scope: Scope) -> str | None:
    """The path of a request as its route has it, `/post/{id}/`; None where there is no route."""
    route = scope.get(ROUTE)
    return route.path_format if route else None


def line_of(scope: Scope, status: int | None, size: int, seconds: float) -> dict[str, Any]:
    """What the log says of a request."""
    client, method = scope["client"], scope["method"]
    line = {
        "id": scope[ID],
        "method": method,
        "route": template(scope),
        "status": status,
        "ms": round(seconds * 1000, 2),
        "bytes": 0 if method == "HEAD" else size,  # the server leaves the body out
        "client": client[0] if client else None,
    }
    if USER in scope:
        line["user"] = scope[USER]
    if CODE in scope:
        line["code"] = scope[CODE]
    return line
