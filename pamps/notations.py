"""How settings that are texts are written, and what pydantic says of those that are written otherwise."""

import re
from email.utils import parseaddr
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

# Without it, asyncpg would go to another server than psycopg2.
UNKNOWN_TO_ASYNCPG = {"hostaddr"}
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]*)?")
OF_ITSELF = re.compile(r"http://.*:80|https://.*:443")
MAILBOX = re.compile(r"[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9.-]+")
PAGE = re.compile(r"https?://[^\s\x00-\x20<>\"{}]*[^\s\x00-\x20<>\"{}/]")
TOKEN_PATH = re.compile(r"/([^\s\x00-\x20<>\"{}]|\{token\})*")


def postgresql(uri: str) -> str:
    try:
        well_formed = not uri or (urlsplit(uri).scheme.startswith("postgres") and urlsplit(uri).port != 0)
    except ValueError:  # a port that is none
        well_formed = False
    if not well_formed:
        raise PydanticCustomError("postgresql", "should be postgresql://user:password@host:port/name, or empty")
    address, mark, query = uri.partition("?")
    return address + mark + in_libpqs_words(query)


def in_libpqs_words(query: str) -> str:
    """What stands after the ? of a uri, which psycopg2 hands to libpq, and drivers.py sifts for asyncpg."""
    if not query:
        return query
    from psycopg2 import ProgrammingError
    from psycopg2.extensions import parse_dsn

    # What asyncpg is given as ssl=require, and JDBC as ssl=true.
    query = re.sub(r"(?<![^&])ssl=", "sslmode=", re.sub(r"(?<![^&])ssl=true(?![^&])", "sslmode=require", query))
    try:
        unknown = parse_dsn(f"postgresql://?{query}").keys() & UNKNOWN_TO_ASYNCPG
    except ProgrammingError as error:
        unknown = set(re.findall(r'invalid URI query parameter: "([\w.]+)"', str(error)))
        if not unknown:
            raise PydanticCustomError("query", "has something after the ? that is not name=value&...") from None
    if unknown:
        raise PydanticCustomError("parameter", "asks for {name}, which not every driver knows", {"name": min(unknown)})
    return query


def folder(path: str) -> str:
    try:
        Path(path).expanduser()
    except RuntimeError:
        raise PydanticCustomError("folder", "begins with the home directory of nobody we know") from None
    return path


def texts(value: Any) -> Any:
    if not isinstance(value, list):
        raise PydanticCustomError("texts", 'should be a list of texts, ["...", "..."]')
    return tuple(value)


def origin(text: str) -> str:
    """An origin as browsers write it (RFC 6454, section 6.2): they compare it letter by letter."""
    if text != "*" and (not ORIGIN.fullmatch(text) or OF_ITSELF.fullmatch(text)):
        raise PydanticCustomError(
            "origin", "should be as https://example.com, in lower case, without a / or a default port at the end"
        )
    return text


def network(text: str) -> str:
    try:
        ip_network(text)
    except ValueError:
        raise PydanticCustomError("network", "should be an address, 10.0.0.1, or a network, 10.0.0.0/8") from None
    return text


def mailbox(text: str) -> str:
    """Whom mail is from: an address, with a name or without (RFC 5322, section 3.4)."""
    name, address = parseaddr(text)
    if text and (
        text not in (address, f"{name} <{address}>") or not MAILBOX.fullmatch(address) or not name.isprintable()
    ):
        raise PydanticCustomError("mailbox", "should be as pamps@example.com or Pamps <pamps@example.com>")
    return text


def page(address: str) -> str:
    if address and not PAGE.fullmatch(address):
        raise PydanticCustomError("page", "should be as https://app.example.com, without a / at the end, or empty")
    return address


def with_token(path: str) -> str:
    """Where a token goes; nothing else is filled in."""
    if not TOKEN_PATH.fullmatch(path) or path.count("{token}") != 1:
        raise PydanticCustomError(
            "with_token", "should be the path of a page, with {brace}token} in it once", {"brace": "{"}
        )
    return path


Texts = Annotated[tuple[str, ...], BeforeValidator(texts)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(origin)], ...], BeforeValidator(texts)]
Networks = Annotated[tuple[Annotated[str, AfterValidator(network)], ...], BeforeValidator(texts)]
Uri = Annotated[str, AfterValidator(postgresql), Field(repr=False)]
Rate = Annotated[str, Field(pattern=r"^([1-9][0-9]*( ?/ ?| per )([1-9][0-9]* ?)?(second|minute|hour|day)s?)?$")]
Folder = Annotated[str, AfterValidator(folder)]
Mailbox = Annotated[str, AfterValidator(mailbox)]
Page = Annotated[str, AfterValidator(page)]
TokenPath = Annotated[str, AfterValidator(with_token)]
