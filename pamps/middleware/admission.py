"""Admission: past so much work at once, a fast refusal is better than a growing queue."""

import asyncio
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pamps import errors
from pamps.middleware.limits import FREE
from pamps.middleware.problems import problem

ADMISSION = "pamps.admission"  # where connections find it: in the state of the application's lifespan
REFUSAL = problem(errors.Overloaded())  # always the same, and not made anew when there is least time for it
READS = frozenset({"GET", "HEAD"})
STATIC = "/static/"  # files, sent as fast as their reader reads: held up by nobody but them


class Admission:
    """ASGI middleware: refuses with 503 what comes while `most` requests are being worked on in this process, or while
    there is no `room` at the database, where it would be refused after much more work.

    A request is not being worked on while its body is still coming: who sends slowly keeps nobody out.
    """

    def __init__(self, app: ASGIApp, most: int, room: Callable[[], float]):
        self.app = app
        self.most = most
        self.room = room
        self.in_flight = 0
        self.coming = 0  # let in by their connections in this turn of the loop, and worked on from the next one on

    def full(self) -> bool:
        return self.in_flight + self.coming >= self.most or self.coming >= self.room()

    def turns_away(self, scope: Scope) -> bool:
        """Whether a request is one too much. For its connection, which needs no task then to have it refused.

        If it is not, there is one place less for those who come after it, before it can be seen at work.
        """
        if free(scope):
            return False
        if self.full():
            return True
        if not self.coming:
            asyncio.get_running_loop().call_soon(self.begin)  # before the first of them
        self.coming += 1
        return False

    def begin(self) -> None:
        self.coming = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or free(scope):
            await self.app(scope, receive, send)
            return
        if self.full():
            await REFUSAL(scope, receive, send)
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


def free(scope: Scope) -> bool:
    """Whether a request is let in always."""
    path: str = scope["path"]
    return path.rstrip("/") in FREE or path.startswith(STATIC)
