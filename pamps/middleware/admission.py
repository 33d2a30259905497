"""Admission: past so much work at once, a fast refusal is better than a growing queue."""

from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pamps import errors
from pamps.middleware.limits import FREE
from pamps.middleware.problems import problem

READS = frozenset({"GET", "HEAD"})
STATIC = "/static/"  # files, sent as fast as their reader reads: held up by nobody but them


class Admission:
    """ASGI middleware: refuses with 503 what comes while `most` requests are being worked on in this process, or while
    there is a crowd at the database, where it would be refused after much more work.

    A request is not being worked on while its body is still coming: who sends slowly keeps nobody out.
    """

    def __init__(self, app: ASGIApp, most: int, crowded: Callable[[], bool]):
        self.app = app
        self.most = most
        self.crowded = crowded
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].rstrip("/") in FREE or scope["path"].startswith(STATIC):
            await self.app(scope, receive, send)
            return
        if self.in_flight >= self.most or self.crowded():
            await problem(errors.Overloaded())(scope, receive, send)
            return
        self.in_flight += 1
        try:
            await self.app(scope, receive if scope["method"] in READS else self.aside(receive), send)
        finally:
            self.in_flight -= 1

    def aside(self, receive: Receive) -> Receive:
        """A receive that waits for the body aside. Raises Overloaded where others have come in its place meanwhile."""

        async def waiting() -> Message:
            self.in_flight -= 1
            try:
                message = await receive()
            finally:
                self.in_flight += 1
            if self.in_flight > self.most and not message.get("more_body"):
                raise errors.Overloaded()
            return message

        return waiting
