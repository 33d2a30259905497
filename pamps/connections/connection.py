"""uvicorn's connections, with bounds to what a client may send and how long it may take.

uvicorn's protocol has neither: a client could send headers for ever, or a byte of them a minute.
"""

import asyncio
import math
from contextvars import copy_context
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle
from uvicorn.server import ServerState

from pamps import config, errors
from pamps.connections.files import most_connections
from pamps.connections.framing import Framing, Refused
from pamps.connections.together import Together
from pamps.errors import PampsError
from pamps.logs import CODE
from pamps.middleware.admission import ADMISSION, Admission
from pamps.middleware.cors import readable
from pamps.middleware.headers import DATA
from pamps.middleware.problems import problem
from pamps.middleware.watching import HEADER, REFUSED, WATCHING, Watching, identified

BETWEEN_LOOKS = 1.0  # seconds
LINGER = 2.0  # seconds
PIPELINED = 32  # requests that may wait on one connection while one is answered


class Connections:
    """What uvicorn makes a connection with; it is handed to the server processes. Looks at all of them each second."""

    def __init__(self, settings: config.Server):
        self.settings = settings
        self.looking = False

    def __call__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: None = None
    ) -> "Connection":
        loop = asyncio.get_running_loop()
        if not self.looking:
            self.looking = True
            loop.call_later(BETWEEN_LOOKS, self.look, server_state, loop)
        return Connection(config, server_state, app_state, loop, self.settings)

    def look(self, server_state: ServerState, loop: asyncio.AbstractEventLoop) -> None:
        """End the connections of those who take too long."""
        for connection in list(server_state.connections):
            assert isinstance(connection, Connection)
            connection.look(loop.time())
        self.looking = bool(server_state.connections)
        if self.looking:
            loop.call_later(BETWEEN_LOOKS, self.look, server_state, loop)


class Connection(Framing):
    """A connection of a client.

    `deadline` is when what has begun to come has to be there: the head of a request, or its body. A single one for all
    that a client may do slowly, looked at once a second, costs a request next to nothing; a timer each would not.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop,
        settings: config.Server,
    ):
        super().__init__(config, server_state, app_state, loop)
        self.settings = settings
        self.watching: Watching = app_state[WATCHING]
        self.admission: Admission = app_state[ADMISSION]
        self.deadline = math.inf
        self.head_size = 0
        self.unused = 0  # bytes that have come of a head, or since the last of a body
        self.unread_since: float | None = None  # an answer, by the client
        self.refused = False
        self.answering: RequestResponseCycle | None = None  # `cycle` is the newest, which may be waiting for its turn

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.deadline = self.loop.time() + self.settings.header_timeout
        if len(self.connections) > most_connections(self.settings):
            self.refuse(errors.Overloaded())
            self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self.answering = cycle
        if cycle.scope["method"] != "HEAD" and not cycle.waiting_for_100_continue:
            cycle.transport = Together(self.transport)  # type: ignore[assignment]  # all of one that it makes use of
        scope: Any = cycle.scope
        waited = asyncio.current_task() is not None  # in line here: this is the end of the one before, at work still
        if not waited and self.admission.turns_away(scope) and not self.transport.get_write_buffer_size():
            self.refuse_now(cycle, app)
        else:
            super()._start_asgi_task(cycle, app)

    def refuse_now(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Have the application refuse a request at once, for a task would come after all that this turn has to do.

        It waits for nothing, since nothing else is to be sent first. So whoever asks for much at once and reads none
        of it is answered one after the other, as ever.
        """
        try:
            copy_context().run(cycle.run_asgi(app).send, None)
        except StopIteration:
            return
        raise RuntimeError("a refusal had to wait for something")

    def connection_lost(self, exc: Exception | None) -> None:
        if self.answering is not None:
            self.answering.disconnected = True  # or it would go on to answer, and take for a mistake that it can't
            self.answering.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.refused:
            return
        self._unset_keepalive_if_required()
        if self.deadline == math.inf:
            self.deadline = self.loop.time() + self.settings.header_timeout
        self.unused += len(data)
        try:
            self.parse(data)
            if self.unused > self.settings.max_header_size:
                raise Refused(errors.HeadersTooLarge())
        except Refused as refused:
            self.refuse(refused.error, data)
        except httptools.HttpParserError as error:
            cause = error.__context__
            self.refuse(cause.error if isinstance(cause, Refused) else errors.MalformedRequest(), data)

    # What the parser tells of.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.head_size = 0

    def on_url(self, url: bytes) -> None:
        self.seen(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.seen(len(name) + len(value))
        if len(self.headers) >= self.settings.max_headers:
            raise Refused(errors.HeadersTooLarge(f"a request may have {self.settings.max_headers} headers"))
        super().on_header(name, value)

    def seen(self, size: int) -> None:
        """Something of a head, or of what may follow a body in chunks, has come."""
        self.head_size += size
        if self.head_size > self.settings.max_header_size:
            raise Refused(errors.HeadersTooLarge())

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= PIPELINED:
            raise Refused(errors.Overloaded())
        super().on_headers_complete()
        if not self.upgrading:
            self.unused = 0
            self.deadline = self.loop.time() + self.settings.body_timeout

    def on_body(self, body: bytes) -> None:
        self.unused = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if not self.upgrading:
            self.deadline = math.inf
            self.unused = 0

    # What becomes of it.

    def look(self, now: float) -> None:
        """End it if the client takes too long to send, or to read."""
        if not self.transport.get_write_buffer_size():
            self.unread_since = None
        elif self.unread_since is None:
            self.unread_since = now
        elif now - self.unread_since > self.settings.write_timeout:
            self.transport.abort()
            return
        if now > self.deadline and self.refused:
            self.transport.close()
        elif now > self.deadline and not self.flow.read_paused and not self.transport.is_closing():
            self.refuse(errors.RequestTimeout())

    def refuse(self, error: PampsError, data: bytes = b"") -> None:
        """Answer with an error, if it is this request's turn and nothing of an answer has been sent; and close.

        `data` is what came last, of which the parser may not have told all.

        What still comes for a moment is thrown away: closed at once, the connection might be reset before the client
        has read why (RFC 9112, section 9.6).
        """
        answering = self.cycle is not None and not self.cycle.response_complete
        answered = self.cycle is not None and self.cycle.response_started and not self.in_head
        nothing_asked = isinstance(error, errors.RequestTimeout) and self.in_head and not self.unused
        if answered or nothing_asked:
            self.transport.abort()
            return
        if self.pipeline or (answering and self.in_head):
            self.tell(error, None, 0)
            self.transport.abort()
            return
        response = problem(error)
        size = len(response.body)
        request_id = self.break_off(error, size) if answering else self.tell(error, error.status, size)
        self.refused = True
        self.deadline = self.loop.time() + LINGER
        ours = [*DATA, (HEADER, request_id.encode()), (b"connection", b"close")]
        told = b"".join(b"%b: %b\r\n" % header for header in self.headers or ())
        cors = readable(self.settings.cors_origins, told + data)
        headers = [*self.server_state.default_headers, *response.raw_headers, *ours, *cors]
        lines = [b"%b: %b\r\n" % header for header in headers]
        self.transport.write(b"".join([STATUS_LINE[error.status], *lines, b"\r\n", bytes(response.body)]))
        self.transport.write_eof()

    def break_off(self, error: PampsError, size: int) -> str:
        """Let the request that is being answered know that it no longer is, and who watches it, by what: its id."""
        scope: Any = self.cycle.scope
        scope[REFUSED] = error.status, size, error.code
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        return identified(scope)

    def tell(self, error: PampsError, status: int | None, size: int) -> str:
        """Have what is no request yet noted like one: its id. Whatever it says of itself is nothing to go by."""
        scope = {"method": None, "client": self.client, "headers": (), CODE: error.code}
        began = min(self.deadline - self.settings.header_timeout, self.loop.time())
        request_id = identified(scope)
        self.watching.leave(scope, status, size, self.loop.time() - began)
        return request_id
