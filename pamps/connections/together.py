"""Writing an answer."""

import asyncio
from collections.abc import Callable


class Together:
    """Where an answer with a body is written: its head goes out with the beginning of the body, not before it.

    uvicorn writes them one after the other, each by a call of the system, which wakes who reads. ASGI has it this way,
    too: a server must not begin to send before there is something of the body.
    """

    __slots__ = ("head", "is_closing", "transport", "write")

    def __init__(self, transport: asyncio.Transport):
        self.transport = transport
        self.is_closing = transport.is_closing
        self.write: Callable[[bytes], None] = self.hold

    def hold(self, head: bytes) -> None:
        self.head = head
        self.write = self.begin

    def begin(self, body: bytes) -> None:
        self.transport.writelines((self.head, body))
        self.write = self.transport.write

    def close(self) -> None:
        self.transport.close()
