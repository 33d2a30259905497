"""A mail: from what lies in the queue to what goes over the wire (RFC 5322)."""

from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Literal

from email_validator import validate_email
from pydantic import BaseModel, ConfigDict

from pamps.config import Settings
from pamps.mail import letters
from pamps.tokens import kid, link_token

UNKNOWN = {"ip": "?", "user_agent": "?"}
MOMENTS = ("at", "until")
USER_AGENT_MAX = 100  # characters of what a client calls itself


class Mail(BaseModel):
    """A mail in the queue, as the function enqueue_mail() of the database puts it there."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    template: Literal[
        "verification", "password_reset", "new_login", "password_changed", "email_changed", "two_factor_off"
    ]
    language: Literal["en", "pt-BR"]
    user_id: int
    address: str
    fields: dict[str, str | None]

    @property
    def until(self) -> datetime | None:
        """When its link ends, if it has one; afterwards there is no use in sending it."""
        found = self.fields.get("until")
        return datetime.fromisoformat(found) if found else None


class KeyGone(Exception):
    """The key is no longer there by which the token of a link was made."""


def compose(mail: Mail, job_id: int, created: datetime, settings: Settings) -> EmailMessage:
    """The mail of a job. Made again it has the same Message-ID and Date, so that a second copy is known for one.

    Raises ValueError for what can't be in a header, KeyGone, KeyError for a field that is missing.
    """
    letter = letters.write(mail.template, mail.language, filled(mail, settings))
    name, sender = parseaddr(settings.mail.sender or "pamps@localhost")
    message = EmailMessage(policy=SMTP)
    message["From"] = Address(name, addr_spec=sender)
    message["To"] = Address(addr_spec=in_ascii(mail.address))
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(created.astimezone(UTC))
    message["Message-ID"] = f"<{created.astimezone(UTC):%Y%m%d%H%M%S%f}.{job_id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday notice shall answer
    # Not 8bit, which not every server takes.
    message.set_content(letter.text, cte="quoted-printable")
    message.add_alternative(letter.html, subtype="html", cte="quoted-printable")
    message["Content-Language"] = mail.language  # now: what was said of the content before went into its first part
    return message


def filled(mail: Mail, settings: Settings) -> dict[str, str]:
    """The fields as they are shown."""
    fields = {name: value or UNKNOWN[name] for name, value in mail.fields.items()}
    fields |= {name: letters.shown(fields[name]) for name in MOMENTS if name in fields}
    if "user_agent" in fields:
        fields["user_agent"] = fields["user_agent"][:USER_AGENT_MAX]
    if "seed" in fields:
        fields["link"] = link(mail, fields.pop("seed"), fields.pop("kid"), settings)
    return {"service": settings.mail.service, **fields}


def link(mail: Mail, seed: str, name: str, settings: Settings) -> str:
    """The page of the app that a link leads to; the token alone where no page is configured."""
    keys = (settings.security.secret_key, *settings.security.old_secret_keys)
    key = next((key for key in keys if kid(key) == name), None)
    if key is None:
        raise KeyGone("the key that its link was made with is gone")
    paths = {"verification": settings.mail.verification_path, "password_reset": settings.mail.password_reset_path}
    page = settings.mail.base_url + paths[mail.template] if settings.mail.base_url else "{token}"
    return page.replace("{token}", link_token(seed, key))


def in_ascii(address: str) -> str:
    """An address as every mail server takes it: its domain in the form of IDNA 2008."""
    if address.isascii():
        return address
    found = validate_email(address, check_deliverability=False).ascii_email
    assert found, "what stands before the @ is ASCII, so all of it can be"
    return found
