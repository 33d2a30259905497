"""The mail server: signing in there, and what its refusals mean. Errors say nothing of whom a mail is to."""

import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from functools import cache
from typing import Protocol

from aiosmtplib import (
    SMTP,
    SMTPDataError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPRecipientsRefused,
    SMTPResponseException,
)

from pamps.config import Mail
from pamps.logs import WHOLE

log = logging.getLogger("pamps")


class TryLater(Exception):
    """The mail server can't take mail now: it is away, too slow, busy, or refuses us rather than a mail."""


class Refused(Exception):
    """The mail server will never take this mail."""


class Session(Protocol):
    """Takes one mail. Raises TryLater, Refused."""

    async def deliver(self, message: EmailMessage) -> None: ...


class MailServer:
    """The server that `mail.host` names."""

    def __init__(self, settings: Mail):
        self.settings = settings

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Connected, secured and signed in as the settings say. Raises TryLater."""
        settings = self.settings
        client = SMTP(
            hostname=settings.host,
            port=settings.port,
            username=settings.username or None,
            password=settings.password or None,
            timeout=settings.timeout,
            use_tls=settings.tls == "tls",
            start_tls=settings.tls == "starttls",
            tls_context=None if settings.tls == "none" else trusted(),
        )
        try:
            try:
                await client.connect()
            except (SMTPException, OSError, ValueError) as error:  # ValueError: what it says can't be read
                raise TryLater(said(error)) from None
            yield Connected(client)
            with suppress(SMTPException, OSError):  # what was taken is taken
                await client.quit()
        finally:
            client.close()


class Connected:
    """A session with the mail server."""

    def __init__(self, client: SMTP):
        self.client = client

    async def deliver(self, message: EmailMessage) -> None:
        sender, recipient = (message[name].addresses[0].addr_spec for name in ("From", "To"))
        try:
            await self.client.sendmail(sender, [recipient], message.as_bytes(policy=WIRE))
        except SMTPRecipientsRefused as error:
            raise refusal(error.recipients[0], recipient) from None
        except (SMTPRecipientRefused, SMTPDataError) as error:
            raise refusal(error, recipient) from None
        # A refused sender is a mistake in the settings, which somebody may mend.
        except (SMTPException, OSError) as error:
            raise TryLater(said(error, recipient)) from None


class Log:
    """Instead of a mail server, outside production."""

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        yield self

    async def deliver(self, message: EmailMessage) -> None:
        part = message.get_body(("plain",))
        assert part
        log.info(
            "mail.host is empty, so this is only written here\nTo: %s\nSubject: %s\n\n%s",
            *(message["To"], message["Subject"], part.get_content()),
            extra=WHOLE,
        )


def refusal(error: SMTPResponseException, recipient: str) -> Exception:
    """What a reply to a mail means (RFC 5321, section 4.2.1): 5yz is for good, all else for now."""
    return (Refused if 500 <= error.code < 600 else TryLater)(said(error, recipient))


def said(error: Exception, recipient: str = "") -> str:
    """What went wrong in one line, without the address that a mail was to."""
    reply = f"{error.code} {error.message}" if isinstance(error, SMTPResponseException) else str(error)
    line = " ".join(reply.split()) or type(error).__name__
    return line.replace(recipient, "(the recipient)") if recipient else line


@cache
def trusted() -> ssl.SSLContext:
    """The authorities that this machine trusts; reading them takes too long for every mail."""
    return ssl.create_default_context()
