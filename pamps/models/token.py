"""Personal tokens, which are rows of the table `session`: the shapes that clients see."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from pamps.models.shape import Answer, Id, Instant, Name, Request, whole

DAYS = 90  # that a token lasts, unless its maker says otherwise
DAYS_MAX = 366

Scope = Literal["read", "write", "admin"]


class PersonalTokenRequest(Request):
    """To make a personal token. No other of mine has its name; it lasts `expires_in_days`."""

    name: Name
    scopes: list[Scope] = Field(min_length=1, max_length=3)
    expires_in_days: Annotated[int, BeforeValidator(whole)] = Field(default=DAYS, ge=1, le=DAYS_MAX)


class PersonalTokenResponse(Answer):
    """One of my personal tokens, but not its text; `last_used_at` is null until it is used, and up to a minute late."""

    id: Id
    name: str
    scopes: list[Scope]
    created_at: Instant
    last_used_at: Instant | None
    expires_at: Instant


class PersonalTokenMade(PersonalTokenResponse):
    """A personal token that was just made, and its text, which is shown this once."""

    token: str
