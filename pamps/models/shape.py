"""What the shapes of requests and answers share: their two bases, and the types of their fields."""

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    EmailStr,
    Field,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from pamps.weakness import is_a_name, is_common

MAX_ID = 2**53 - 1  # the largest integer that JSON carries exactly to every client

# Somewhere a character that is not white space, and nowhere a NUL, which PostgreSQL's text can't hold. What is white is
# spelled out: whether U+0085 and U+FEFF are matched by \s is one thing here and another in JSON Schema (ECMA-262).
WHITE = r"\t-\r \x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
NOT_BLANK = rf"^[^\x00]*[^\x00{WHITE}][^\x00]*$"
NO_NUL = r"^[^\x00]*$"
# Two to thirty characters that begin with a letter or a digit and are not all digits: those are ids.
USERNAME = r"^([A-Za-z][A-Za-z0-9_.-]{1,29}|[0-9][0-9]{0,28}[A-Za-z_.-][A-Za-z0-9_.-]{0,28})$"
ID_OR_USERNAME = rf"^[1-9][0-9]{{0,15}}$|{USERNAME}"
# Without what no address has (RFC 3986), and what would end an attribute of a page that writes it down carelessly.
WEB_ADDRESS = r"""^https?://[^\x00-\x20"'<>\\`\x7f]+$"""
# Every text of these forms is a cursor, so a garbled one is refused like any other bad parameter. Times before the year
# 2286 have sixteen digits in microseconds.
ID_CURSOR = r"^[0-9]{1,16}$"
DATED_CURSOR = r"^[0-9]{1,16}-[0-9]{1,16}$"
# A string as RFC 9651 writes it in a header (section 3.3.3), or without the quotes what does not need them.
IDEMPOTENCY_KEY = r"""^("((?:[ !#-\[\]-~]|\\["\\]){1,255})"|([A-Za-z0-9._~:/+=@-]{1,255}))$"""

A_USERNAME = "2 to 30 of a-z, A-Z, 0-9, '_', '.' and '-', begin with a letter or digit, not be all digits"
# Where a pattern is broken, what it asks for says more than the pattern.
RULES = {
    NOT_BLANK: "Should be a text that is not blank and has no NUL in it",
    NO_NUL: "Should have no NUL in it",
    USERNAME: f"Should be {A_USERNAME}",
    ID_OR_USERNAME: f"Should be the id of a user, or a username: {A_USERNAME}",
    WEB_ADDRESS: "Should be the address of a picture, http://... or https://...",
    ID_CURSOR: "Should be the cursor in a Link header of this list",
    DATED_CURSOR: "Should be the cursor in a Link header of this list",
    IDEMPOTENCY_KEY: "Should be 1 to 255 characters of ASCII in quotes, or of letters, digits and ._~:/+=@- without",
}


def in_words(found: Any) -> str:
    """What is wrong, for people, of one of pydantic's errors."""
    return RULES.get(found.get("ctx", {}).get("pattern")) or str(found["msg"])


def whole(number: Any) -> Any:
    """What JSON may write as 1.0 and means as 1."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


def in_digits(number: Any) -> Any:
    """A number in an address, without the sign, space, point or underscore that Python would read too."""
    if isinstance(number, str) and not (number.isascii() and number.isdigit()):
        raise PydanticCustomError("int_parsing", "Should be a whole number, written in digits")
    return number


def bare(address: Any) -> Any:
    """An address without a name before it: "Ada <ada@example.com>" is for the head of a mail."""
    if isinstance(address, str) and "<" in address:
        raise PydanticCustomError("email", "an address alone, without a name")
    return address


def in_ascii(address: str) -> str:
    """An address whose first part is ASCII: of other letters PostgreSQL would not know that É and é are the same.

    The domain may have them; the validator before has brought it to one form (IDNA 2008, in lower case).
    """
    if not address.rpartition("@")[0].isascii():
        raise PydanticCustomError("email", "The part before the @ should be ASCII letters, digits and signs alone")
    return address


def uncommon(password: str) -> str:
    """A password that is not among those that everybody guesses first."""
    if is_common(password):
        raise PydanticCustomError("common_password", "Should not be one of the 10,000 most common passwords")
    return password


def own(password: str, username: str | None, email: str | None) -> str:
    """A password that is not its owner's name. Where one is chosen, it is held against both of the owner's."""
    if is_a_name(password, username, email):
        raise PydanticCustomError("own_name", "Should not be the username or the email, or what is before its @")
    return password


InDigits = BeforeValidator(in_digits)
Id = Annotated[int, Field(ge=1, le=MAX_ID), BeforeValidator(whole)]
Count = Annotated[int, Field(ge=0)]
# AwareDatetime so that a time without its zone is an error; on the wire always UTC, ending in Z (RFC 3339).
Instant = Annotated[
    AwareDatetime,
    WithJsonSchema(
        {"type": "string", "format": "date-time", "pattern": r"Z$", "examples": ["2026-11-22T10:00:00.000000Z"]}
    ),
]

Username = Annotated[str, Field(min_length=2, max_length=30, pattern=USERNAME, examples=["ada"])]
Email = Annotated[
    EmailStr, BeforeValidator(bare), AfterValidator(in_ascii), Field(max_length=254, examples=["ada@example.com"])
]
Password = Annotated[
    str,
    Field(
        min_length=8,
        max_length=256,
        pattern=NO_NUL,
        examples=["correct horse battery"],
        json_schema_extra={"format": "password"},
    ),
    AfterValidator(uncommon),
]
Name = Annotated[str, Field(max_length=100, pattern=NOT_BLANK, examples=["Ada Lovelace"])]
Avatar = Annotated[str, Field(max_length=500, pattern=WEB_ADDRESS, examples=["https://example.com/ada.png"])]
Bio = Annotated[str, Field(max_length=500, pattern=NO_NUL, examples=["Poetical science."])]
Text = Annotated[str, Field(min_length=1, pattern=NOT_BLANK, examples=["Olá, mundo!"])]


class Request(BaseModel):
    """A body that is sent to Pamps: unknown fields are refused, every text is bounded, and true is not the id 1."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class Answer(BaseModel):
    """A body that Pamps sends: just these fields, all of them, always."""

    model_config = ConfigDict(extra="forbid")
