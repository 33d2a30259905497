"""The language of a mail: that of the request which brings it about, by its Accept-Language."""

from typing import Annotated

from fastapi import Depends, Request

from pamps.dependencies import Settings
from pamps.errors import MailNotConfigured

ENGLISH, PORTUGUESE = "en", "pt-BR"
# By the first part of a tag: who asks for the Portuguese of Portugal is better served by Brazil's than by English.
BY_PRIMARY = {"en": ENGLISH, "pt": PORTUGUESE, "*": ENGLISH}


def preferred(accept_language: str | None) -> str:
    """The one of our languages that an Accept-Language (RFC 9110, section 12.5.4) likes best; English if none."""
    best, liking = ENGLISH, 0.0
    for item in (accept_language or "").split(","):
        tag, *parameters = (part.strip().lower() for part in item.split(";"))
        language = BY_PRIMARY.get(tag.partition("-")[0])
        if language and (weight := quality(parameters)) > liking:
            best, liking = language, weight
    return best


def quality(parameters: list[str]) -> float:
    """The weight among the parameters of a language: 1 where there is none, 0 where it can't be read."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                return 0.0
            return weight if 0.0 <= weight <= 1.0 else 0.0
    return 1.0


async def language(request: Request, settings: Settings) -> str | None:
    """The language to write in to whoever asks; None where no mail is sent, and then no statement queues any."""
    return preferred(request.headers.get("accept-language")) if settings.mails else None


Language = Annotated[str | None, Depends(language)]


async def needed(found: Language) -> str:
    """The same for what can't do without mail. Raises MailNotConfigured."""
    if found is None:
        raise MailNotConfigured()
    return found


MailLanguage = Annotated[str, Depends(needed)]
