"""A real SMTP server (aiosmtpd) to send mail to: as it should be, busy, refusing, or silent."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from threading import Thread
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from aiosmtpd.smtp import Session as SmtpSession

from tests.processes import until

HOST = "127.0.0.1"
OK = "250 OK"


def free_port() -> int:
    with socket.socket() as found:
        found.bind((HOST, 0))
        return int(found.getsockname()[1])


class Mailbox:
    """A mail server on a port of its own, in a thread; what it has taken, in the order that it came.

    `replies` are given to RCPT in turn before it takes anything; `hold` is waited for before a mail is taken.
    """

    def __init__(
        self, port: int | None = None, tls: ssl.SSLContext | None = None, account: tuple[str, str] | None = None
    ):
        self.port = port or free_port()
        self.tls = tls
        self.account = account
        self.replies: list[str] = []
        self.taken: list[EmailMessage] = []
        self.tried: list[str] = []
        self.connections = 0

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's name
        self, server: SMTP, session: SmtpSession, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.tried.append(address)
        if self.replies:
            return self.replies.pop(0)
        envelope.rcpt_tos.append(address)
        return OK

    async def handle_DATA(self, server: SMTP, session: SmtpSession, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        assert isinstance(content, bytes)
        message = message_from_bytes(content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        assert (message["To"], message["From"].addresses[0].addr_spec) == (envelope.rcpt_tos[0], envelope.mail_from)
        self.taken.append(message)
        return OK

    def authenticate(
        self, server: SMTP, session: SmtpSession, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        return AuthResult(success=(data.login.decode(), data.password.decode()) == self.account)

    def protocol(self) -> SMTP:
        self.connections += 1
        secured: dict[str, Any] = {"tls_context": self.tls, "require_starttls": True} if self.tls else {}
        known: dict[str, Any] = (
            {"authenticator": self.authenticate, "auth_required": True, "auth_require_tls": bool(self.tls)}
            if self.account
            else {}
        )
        return SMTP(self, hostname="mail.example.com", **secured, **known)

    @contextmanager
    def open(self) -> Iterator["Mailbox"]:
        """Take mail for as long as this lasts; may be opened again."""
        with served(self.protocol, self.port):
            yield self

    def wait(self, count: int = 1) -> list[EmailMessage]:
        """The mails, once so many are there."""
        until(lambda: len(self.taken) >= count)
        assert len(self.taken) == count
        return self.taken


class Silent(asyncio.Protocol):
    """Says nothing, ever."""


@contextmanager
def served(protocol: Callable[[], asyncio.Protocol], port: int) -> Iterator[None]:
    """A server in a thread of its own; its connections end with it."""
    loop = asyncio.new_event_loop()
    transports: list[asyncio.BaseTransport] = []

    def made() -> asyncio.Protocol:
        one = protocol()
        connected = one.connection_made

        def noted(transport: asyncio.BaseTransport) -> None:
            transports.append(transport)
            connected(transport)

        one.connection_made = noted  # type: ignore[method-assign]
        return one

    server = loop.run_until_complete(loop.create_server(made, HOST, port))
    thread = Thread(target=loop.run_forever)
    thread.start()

    async def end() -> None:
        server.close()
        for transport in transports:
            transport.abort()  # type: ignore[attr-defined]
        await server.wait_closed()

    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def plain(message: EmailMessage) -> str:
    """The plain part of a mail."""
    part = message.get_body(("plain",))
    assert part
    return str(part.get_content()).replace("\r\n", "\n")


def html(message: EmailMessage) -> str:
    part = message.get_body(("html",))
    assert part
    return str(part.get_content()).replace("\r\n", "\n")
