"""What stands before PostgreSQL and refuses the settings of a connection that it doesn't know, as PgBouncer does."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from urllib.parse import parse_qs, urlsplit

ENCRYPTED = (80877103, 80877104)  # what asks for TLS and for GSSAPI in place of a start (the manual, 54.7)
KNOWN = {"user", "database", "client_encoding", "application_name"}


@contextmanager
def pooler(uri: str) -> Iterator[str]:
    """The uri of a pooler before the database of this one."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, args=(listening, uri), daemon=True).start()
        parts = urlsplit(uri)
        yield f"postgresql://{parts.username}:{parts.password}@127.0.0.1:{listening.getsockname()[1]}{parts.path}"
        listening.shutdown(socket.SHUT_RDWR)


def serve(listening: socket.socket, uri: str) -> None:
    with suppress(OSError):  # it listens no more
        while True:
            client, _ = listening.accept()
            threading.Thread(target=connect, args=(client, uri), daemon=True).start()


def connect(client: socket.socket, uri: str) -> None:
    with closing(client):
        start, settings = started(client)
        if unknown := sorted(settings - KNOWN):
            fields = b"SFATAL\0C08P01\0Munsupported startup parameter: %b\0\0" % unknown[0].encode()
            client.sendall(b"E" + struct.pack("!I", 4 + len(fields)) + fields)
            return
        with closing(server(uri)) as behind:
            behind.sendall(start)
            back = threading.Thread(target=relay, args=(behind, client), daemon=True)
            back.start()
            relay(client, behind)
            back.join()


def started(client: socket.socket) -> tuple[bytes, set[str]]:
    """The message that begins a connection, and the names of what it sets."""
    while True:
        head = client.recv(8, socket.MSG_WAITALL)
        size, code = struct.unpack("!II", head)
        rest = client.recv(size - 8, socket.MSG_WAITALL) if size > 8 else b""
        if code not in ENCRYPTED:
            return head + rest, {name.decode().lower() for name in rest.rstrip(b"\0").split(b"\0")[::2]}
        client.sendall(b"N")


def server(uri: str) -> socket.socket:
    """A connection to the database itself, which may listen on a socket of its own."""
    parts = urlsplit(uri)
    options = parse_qs(parts.query)
    port = int(options.get("port", [parts.port or 5432])[0])
    if folder := options.get("host"):
        found = socket.socket(socket.AF_UNIX)
        found.connect(f"{folder[0]}/.s.PGSQL.{port}")
        return found
    return socket.create_connection((parts.hostname or "localhost", port))


def relay(here: socket.socket, there: socket.socket) -> None:
    with suppress(OSError):  # either has closed it
        while data := here.recv(65536):
            there.sendall(data)
        there.shutdown(socket.SHUT_WR)
