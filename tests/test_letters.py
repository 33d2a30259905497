"""Letters: both languages say the same, what is filled in is text and nothing else, and headers are right."""

import re
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, get_args

import pytest

from pamps.config import Settings
from pamps.mail import letters
from pamps.mail.languages import preferred
from pamps.mail.message import KeyGone, Mail, compose
from pamps.tokens import kid, link_token
from tests.conftest import SECRET
from tests.mailbox import html, plain

TEMPLATES = get_args(Mail.model_fields["template"].annotation)
LANGUAGES = get_args(Mail.model_fields["language"].annotation)
WHEN = datetime(2026, 11, 27, 10, 30, tzinfo=UTC)
AT = "2026-11-27T10:30:00.000000Z"
FIELDS: dict[str, Any] = {
    "verification": {"username": "ada", "seed": "seed", "kid": kid(SECRET), "until": AT},
    "password_reset": {"username": "ada", "seed": "seed", "kid": kid(SECRET), "until": AT},
    "new_login": {"username": "ada", "at": AT, "ip": "192.0.2.1", "user_agent": "Browser"},
    "password_changed": {"username": "ada", "at": AT},
    "email_changed": {"username": "ada", "at": AT},
    "two_factor_off": {"username": "ada", "at": AT},
}


def mail(template: str, language: str = "en", address: str = "ada@example.com", **fields: Any) -> Mail:
    known = {**FIELDS[template], **fields}
    return Mail.model_validate(
        {"template": template, "language": language, "user_id": 1, "address": address, "fields": known}
    )


def composed(settings: Settings, what: Mail, **changes: Any) -> EmailMessage:
    """A mail as whoever it is to reads it."""
    told = {"sender": "Pämps <pamps@example.org>", "base_url": "https://app.example.com", **changes}
    changed = settings.model_copy(update={"mail": settings.mail.model_copy(update=told)})
    sent = compose(what, 7, WHEN, changed).as_bytes()
    assert sent.isascii()
    assert max(map(len, sent.split(b"\r\n"))) <= 998  # RFC 5322, section 2.1.1
    found = message_from_bytes(sent, policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


@pytest.mark.parametrize(
    ("sent", "language"),
    [
        *(
            (None, "en"),
            ("", "en"),
            ("en", "en"),
            ("pt", "pt-BR"),
            ("pt-BR", "pt-BR"),
            ("PT-br", "pt-BR"),
            ("pt-PT", "pt-BR"),
        ),
        *(("de", "en"), ("de, pt;q=0.5", "pt-BR"), ("en;q=0.8, pt;q=0.9", "pt-BR"), ("pt;q=0.8, en;q=0.9", "en")),
        *(("pt;q=0", "en"), ("pt;q=0, *", "en"), ("pt;q=0.1, *;q=0.2", "en"), ("pt, en", "pt-BR"), ("en, pt", "en")),
        *(("pt;q=x", "en"), ("pt;q=nan", "en"), ("pt;q=2", "en"), (" pt ; q = 1 ", "pt-BR"), (";;,,=", "en")),
        ("pt-BR,pt;q=0.9,en-US;q=0.8,en;q=0.7", "pt-BR"),
    ],
)
def test_the_language_is_the_one_that_is_liked_best(sent: str | None, language: str) -> None:
    assert preferred(sent) == language


def test_every_language_has_every_letter_with_the_same_fields() -> None:
    found = {
        folder.name: {file.stem for file in folder.glob("*")} for folder in letters.FOLDER.iterdir() if folder.is_dir()
    }
    assert found == {language: set(TEMPLATES) for language in LANGUAGES}
    for template in TEMPLATES:
        named = [set(re.findall(r"\$(\w+)", "\n".join(letters.source(template, language)))) for language in LANGUAGES]
        assert named == [named[0]] * len(LANGUAGES), template


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("template", TEMPLATES)
def test_a_letter_says_the_same_in_both_parts(settings: Settings, template: str, language: str) -> None:
    message = composed(settings, mail(template, language), service="Água & Sal")
    assert message.get_content_type() == "multipart/alternative"
    assert f'<html lang="{language}">' in html(message)
    text = re.sub(r"<[^>]+>", "", html(message).split("<body")[1].partition(">")[2])
    for entity, sign in (("&#x27;", "'"), ("&quot;", '"'), ("&amp;", "&")):
        text = text.replace(entity, sign)
    assert text.split() == plain(message).split()
    assert "ada" in text.replace(",", "").split()
    assert "Água & Sal" in str(message["Subject"])
    assert "$" not in text


def test_the_headers_are_those_of_a_mail_by_a_machine(settings: Settings) -> None:
    message = composed(settings, mail("password_changed"))
    assert {name: str(message[name]) for name in message if name not in ("MIME-Version", "Content-Type")} == {
        "From": "Pämps <pamps@example.org>",
        "To": "ada@example.com",
        "Subject": "Your Pamps password was changed",
        "Date": "Fri, 27 Nov 2026 10:30:00 +0000",
        "Message-ID": "<20261127103000000000.7@example.org>",
        "Auto-Submitted": "auto-generated",
        "Content-Language": "en",
    }


def test_what_is_filled_in_is_no_markup(settings: Settings) -> None:
    evil = "<script>alert('$link')</script>"
    message = composed(settings, mail("new_login", user_agent=evil, ip="<b>"))
    assert evil in plain(message)
    assert "<script" not in html(message)
    assert "&lt;script&gt;alert(&#x27;$link&#x27;)&lt;/script&gt;" in html(message)
    assert "&lt;b&gt;" in html(message)


@pytest.mark.parametrize(
    "address", ["ada@example.com\nBcc: eve@example.com", "ada@example.com\r\n\r\nBuy!", "no address"]
)
def test_what_can_not_be_an_address_is_refused(settings: Settings, address: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # of several kinds
        composed(settings, mail("password_changed", address=address))


def test_a_link_is_made_with_the_key_that_it_was_meant_for(settings: Settings) -> None:
    changed = settings.model_copy(
        update={"security": settings.security.model_copy(update={"secret_key": "new" + SECRET})}
    )
    with pytest.raises(KeyGone):
        composed(changed, mail("verification"))
    security = changed.security.model_copy(update={"old_secret_keys": (SECRET,)})
    message = composed(changed.model_copy(update={"security": security}), mail("verification"))
    assert f"https://app.example.com/verify-email#{link_token('seed', SECRET)}\n" in plain(message)


def test_without_pages_a_letter_holds_the_token_alone(settings: Settings) -> None:
    message = composed(settings, mail("verification"), base_url="")
    assert f"\n\n{link_token('seed', SECRET)}\n\n" in plain(message)
    assert "<a " not in html(message)
