"""The service on a real socket, for what only shows there."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import uvicorn
from fastapi import FastAPI

from pamps.connections.connection import Connections
from tests.watched import PATIENCE, until

HOST = "127.0.0.1"


@contextmanager
def served(app: FastAPI) -> Iterator[int]:
    """Serve an app as `pamps serve` does, but in a thread: its port."""
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            HOST,
            0,
            loop="uvloop",
            http=Connections(app.state.settings.server),  # type: ignore[arg-type]
            server_header=False,
            log_level="warning",
        )
    )
    thread = Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        yield int(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()


class Connection:
    """A client that sends just what it is told, however wrong."""

    def __init__(self, port: int):
        self.socket = socket.create_connection((HOST, port), PATIENCE)

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    def send(self, *lines: str | bytes) -> None:
        for line in lines:
            self.socket.sendall((line.encode() if isinstance(line, str) else line) + b"\r\n")

    def head(self) -> tuple[int, dict[str, str], bytes]:
        """The status and the headers of an answer, and what has come of its body."""
        received = b""
        while b"\r\n\r\n" not in received:
            more = self.socket.recv(65536)
            assert more, f"the connection ended after {received!r}"
            received += more
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return int(first.split()[1]), headers, body

    def rest(self) -> bytes:
        """All that comes until the other side closes the connection."""
        received = b""
        while more := self.socket.recv(65536):
            received += more
        return received
