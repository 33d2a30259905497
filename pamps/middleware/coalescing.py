"""Requests for the same thing at the same time, answered together."""

import asyncio
from contextvars import Context, copy_context
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pamps import telemetry
from pamps.logs import FOUND_OUT

# All that an answer to a GET may depend on besides its address; the last three matter to static files.
HEADERS = frozenset(
    {b"host", b"authorization", b"accept", b"if-none-match", b"if-modified-since", b"if-range", b"range"}
)

Key = tuple[Any, ...]
Answer = list[Message]
Waiting = list[tuple[Scope, Context, asyncio.Future[Answer]]]


class Coalescing:
    """ASGI middleware: what many ask for at once is asked of the database once.

    A GET that arrives while another one for the same is worked on waits for that to end; all that have come by then
    are answered by one run of the application, which begins after the last of them came. So an answer is no older than
    without this, and there is nothing to keep, to bound or to invalidate.
    """

    def __init__(self, app: ASGIApp):
        self.app = app
        self.waiting: dict[Key, Waiting] = {}
        self.runs: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        key = (scope["scheme"], scope["path"], scope["query_string"], *(h for h in scope["headers"] if h[0] in HEADERS))
        waiting = self.waiting.get(key)
        if waiting is None:
            self.waiting[key] = []
            await self.lead(key, scope, receive, send)
        else:
            answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            waiting.append((scope, copy_context(), answer))
            for message in await answer:
                await send({**message})  # what is around us may add to it for this request alone

    async def lead(self, key: Key, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the first that asks. Nobody waits for its client to read: what was asked of the database is here."""
        answered = False

        def once() -> None:
            nonlocal answered
            if not answered:
                answered = True
                self.begin_next(key)

        async def send_on(message: Message) -> None:
            once()
            await send(message)

        try:
            await self.app(scope, receive, send_on)
        finally:
            once()

    def begin_next(self, key: Key) -> None:
        """A run has ended: begin another one for those who came meanwhile, if anybody did."""
        if waiting := self.waiting.pop(key):
            self.waiting[key] = []
            # What it says in the log, it says of the first of those who wait, not of the one that has ended.
            task = asyncio.create_task(self.run(key, waiting), context=waiting[0][1])
            self.runs.add(task)
            task.add_done_callback(self.runs.discard)

    async def run(self, key: Key, waiting: Waiting) -> None:
        """One run of the application for several requests. What it raises, each of them raises."""
        scope = waiting[0][0]
        answer: Answer = []

        async def record(message: Message) -> None:
            answer.append(message)

        answers = [future for *_, future in waiting]
        try:
            await self.app(scope, no_body(), record)
        except Exception as error:
            for future in answers:
                if not future.done():
                    future.set_exception(error)
        else:
            for future in answers:
                if not future.done():  # it is when its client has gone
                    future.set_result(answer)
        finally:
            found_out = {name: scope[name] for name in FOUND_OUT if name in scope}
            for other, _, future in waiting:
                other.update(found_out)
                telemetry.route_found(other)
                future.cancel()  # nothing where it is done; this run was cancelled where it is not
            self.begin_next(key)


def no_body() -> Receive:
    """What is received with a request that has no body: that, and then nothing for as long as its client is there."""
    received = False

    async def receive() -> Message:
        nonlocal received
        if received:
            await asyncio.get_running_loop().create_future()
        received = True
        return {"type": "http.request", "body": b"", "more_body": False}

    return receive
