"""The settings: dynaconf finds the values (places.py), pydantic vouches for them. docs/configuration.md lists all."""

import os
import re
from collections.abc import Callable
from difflib import get_close_matches
from email.utils import parseaddr
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import platformdirs
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from pamps.errors import ConfigurationError
from pamps.places import find_values, source, variable

SECRET_KEY_MIN_LENGTH = 32
SECRETS = {
    *(("security", "secret_key"), ("security", "old_secret_keys"), ("metrics", "token")),
    *(("db", "uri"), ("test_db", "uri"), ("mail", "password")),
}
EXAMPLE_SECRETS = ("secret", "example", "changeme", "change-me", "password", "default", "insecure", "openssl")
# In each section, the first may not be more than the second.
ORDERED = (
    ("db", "pool_min_size", "pool_size"),
    ("guesses", "first_delay", "longest_delay"),
    ("guesses", "longest_delay", "forgotten_after"),
)
DAY = 86_400  # seconds
CENTURY = 52_560_000  # minutes
# Without it, asyncpg would go to another server than psycopg2.
UNKNOWN_TO_ASYNCPG = {"hostaddr"}
ON_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]*)?")


MAILBOX = re.compile(r"[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9.-]+")
PAGE = re.compile(r"https?://[^\s\x00-\x20<>\"{}]*[^\s\x00-\x20<>\"{}/]")
TOKEN_PATH = re.compile(r"/([^\s\x00-\x20<>\"{}]|\{token\})*")


class Section(BaseModel):
    # Strict: `workers = true` is a mistake. TOML has inf and nan, which mean nothing here.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


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
    """What stands after the ? of a uri, which psycopg2 hands to libpq, and db.py sifts for asyncpg."""
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
    if text != "*" and not ORIGIN.fullmatch(text):
        raise PydanticCustomError(
            "origin", "should be as https://example.com, in lower case and without a / at the end"
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


class Server(Section):
    host: str = Field(min_length=1)
    port: int = Field(ge=0, le=65535)
    workers: int = Field(ge=1, le=256)
    trusted_proxies: Networks
    max_body_size: int = Field(ge=1024)
    max_header_size: int = Field(ge=1024, le=1_048_576)
    max_headers: int = Field(ge=10, le=10_000)
    max_json_depth: int = Field(ge=2, le=200)
    max_connections: int = Field(ge=1, le=1_000_000)
    max_in_flight: int = Field(ge=1, le=100_000)
    header_timeout: float = Field(gt=0, le=DAY)
    body_timeout: float = Field(gt=0, le=DAY)
    write_timeout: float = Field(gt=0, le=DAY)
    keep_alive_timeout: int = Field(ge=1, le=DAY)
    shutdown_timeout: int = Field(ge=1, le=DAY)
    coalesce: bool
    idempotency_hours: float = Field(gt=0, le=8760)
    cors_origins: Origins
    hsts_max_age: int = Field(ge=0, le=100 * 365 * DAY)


Rate = Annotated[str, Field(pattern=r"^([1-9][0-9]*( ?/ ?| per )([1-9][0-9]* ?)?(second|minute|hour|day)s?)?$")]


class Limits(Section):
    sign_up: Rate
    sign_in: Rate
    write: Rate
    read: Rate
    search: Rate
    shared: bool


class Db(Section):
    uri: Uri
    embedded_dir: Annotated[str, AfterValidator(folder)]
    auto_migrate: bool | Literal["auto"]
    pool_min_size: int = Field(ge=1)
    pool_size: int = Field(ge=1, le=1000)
    statement_timeout: float = Field(ge=0.001, le=DAY)  # to PostgreSQL, 0 milliseconds would be forever
    lock_timeout: float = Field(ge=0.001, le=DAY)
    max_waiting: int = Field(ge=1, le=100_000)
    wait_timeout: float = Field(gt=0, le=DAY)
    connect_timeout: float = Field(gt=0, le=DAY)
    startup_timeout: float = Field(ge=0, le=DAY)

    @property
    def directory(self) -> Path:
        """Where the embedded PostgreSQL and the generated development secret are kept."""
        if self.embedded_dir:
            return Path(self.embedded_dir).expanduser().absolute()
        # PostgreSQL won't run as root, and the account it runs under instead can't enter root's home.
        if os.geteuid() == 0:
            return Path("/var/lib/pamps")
        return platformdirs.user_data_path("pamps")


class Security(Section):
    secret_key: str = Field(repr=False)
    old_secret_keys: Texts = Field(repr=False)
    issuer: str = Field(min_length=1)
    access_token_expire_minutes: float = Field(gt=0, le=CENTURY)
    refresh_token_expire_minutes: float = Field(gt=0, le=CENTURY)
    argon2_memory: int = Field(ge=8, le=4_194_304)
    argon2_passes: int = Field(ge=1, le=1000)
    argon2_lanes: int = Field(ge=1, le=64)
    hash_concurrency: int = Field(ge=1, le=256)


class Guesses(Section):
    account_free: int = Field(ge=1, le=1000)
    address_free: int = Field(ge=1, le=1_000_000)
    first_delay: float = Field(ge=0.1, le=DAY)
    longest_delay: float = Field(ge=0.1, le=DAY)
    forgotten_after: float = Field(ge=60, le=30 * DAY)
    known_for_days: int = Field(ge=1, le=365)

    @property
    def delays(self) -> dict[str, float]:
        """What slows guesses at one account, as the statements that count them take it."""
        return self.model_dump(exclude={"address_free", "known_for_days"})


class PostSettings(Section):
    max_length: int = Field(ge=1, le=100_000)


class Mail(Section):
    host: str
    port: int = Field(ge=1, le=65535)
    tls: Literal["starttls", "tls", "none"]
    username: str
    password: str = Field(repr=False)
    timeout: float = Field(gt=0, le=600)
    sender: Annotated[str, AfterValidator(mailbox)]
    service: str = Field(min_length=1, max_length=100)
    base_url: Annotated[str, AfterValidator(page)]
    verification_path: Annotated[str, AfterValidator(with_token)]
    password_reset_path: Annotated[str, AfterValidator(with_token)]
    verification_expire_minutes: float = Field(gt=0, le=30 * 1440)
    password_reset_expire_minutes: float = Field(gt=0, le=1440)
    resend_minutes: float = Field(ge=0, le=1440)
    retry_seconds: float = Field(gt=0, le=3600)
    give_up_days: float = Field(gt=0, le=30)


class Log(Section):
    format: Literal["auto", "json", "text"]
    level: Literal["debug", "info", "warning", "error"]
    requests: bool


class Metrics(Section):
    host: str = Field(min_length=1)
    port: int = Field(ge=0, le=65535)
    token: str = Field(repr=False)

    @property
    def wanted(self) -> bool:
        """Whether anybody may see them; what nobody may see is not counted."""
        return bool(self.port or self.token)


class Telemetry(Section):
    tracing: bool
    metrics: bool
    logs: bool


class TestDb(Section):
    uri: Uri


class Settings(Section):
    """All settings, checked and frozen: `settings.db.pool_size`."""

    env: Literal["development", "testing", "production"]
    server: Server
    limits: Limits
    db: Db
    security: Security
    guesses: Guesses
    post: PostSettings
    mail: Mail
    log: Log
    metrics: Metrics
    telemetry: Telemetry
    test_db: TestDb

    @property
    def auto_migrate(self) -> bool:
        """Whether the schema is migrated at start."""
        if self.db.auto_migrate == "auto":
            return self.env != "production" or not self.db.uri
        return self.db.auto_migrate

    @property
    def log_as_json(self) -> bool:
        """Whether log lines are JSON, for programs, rather than for people."""
        return self.log.format == "json" or (self.log.format == "auto" and self.env == "production")

    @property
    def mails(self) -> bool:
        """Whether mail is made: sent, or outside production at least written to the log."""
        return bool(self.mail.host) or self.env != "production"


def load_settings(directory: Path | None = None) -> Settings:
    """The settings as seen from `directory` (default: the working directory).

    Raises ConfigurationError with one line that names the setting, what was found and where to set it.
    """
    directory = directory or Path.cwd()
    found = find_values(directory, [path for path in every_setting() if is_text(path)])
    try:
        settings = Settings.model_validate(found)
    except ValidationError as error:
        raise ConfigurationError(explain(error.errors(), directory)) from None
    refuse_unsafe(settings, directory)
    return settings


@cache
def current_settings() -> Settings:
    """The settings of this process, read once."""
    return load_settings()


def every_setting() -> list[tuple[str, ...]]:
    """The path of every setting, in the order of default.toml."""
    paths: list[tuple[str, ...]] = []
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            paths += [(name, inner) for inner in field.annotation.model_fields]
        else:
            paths.append((name,))
    return paths


def is_text(path: tuple[str, ...]) -> bool:
    kind: Any = Settings
    for name in path:
        kind = kind.model_fields[name].annotation
    return kind is str


def shown(path: tuple[str, ...], value: Any) -> str:
    """A value as it may be printed: secrets, and whatever stands in the place of one, only by their length."""
    if value and any(secret[: len(path)] == path for secret in SECRETS):
        return f"({len(str(value))} characters, not shown)"
    return repr(value)


def explain(errors: list[ErrorDetails], directory: Path) -> str:
    """One line for the first thing that pydantic refuses."""
    path = setting_of(errors[0])
    name = ".".join(path)
    if errors[0]["type"] == "extra_forbidden":
        known = {".".join(p): p for p in every_setting()}
        close = get_close_matches(name, known, n=1)
        meant = f"did you mean {close[0]} ({variable(known[close[0]])} in the environment)?" if close else ""
        hint = f"; {meant or 'docs/configuration.md lists them all'}"
        return f"{name}: there is no such setting (found in {source(path, directory)}){hint}"
    message = " or ".join(lower_first(error["msg"]) for error in errors if setting_of(error) == path)
    found = f"found {shown(path, errors[0]['input'])} in {source(path, directory)}"
    if errors[0]["type"] == "model_type":
        path = next(setting for setting in every_setting() if setting[:1] == path)
        message = f"is a section, not a setting; {'.'.join(path)} is one of its settings"
    return f"{name}: {message}; {found}; set it in {file_for(path)} or as {variable(path)}"


def setting_of(error: ErrorDetails) -> tuple[str, ...]:
    """The setting that an error is about; pydantic also names the member of a union or of a list that it means."""
    return tuple(
        str(part) for part in error["loc"] if part not in ("bool", "literal['auto']") and isinstance(part, str)
    )


def lower_first(message: str) -> str:
    return message[0].lower() + message[1:]


def file_for(path: tuple[str, ...]) -> str:
    return ".secrets.toml" if path in SECRETS else "settings.toml"


def refuse_unsafe(settings: Settings, directory: Path) -> None:
    """Stop on what is well-formed but not fit: a weak secret, values that don't go together."""

    def refuse(name: str, problem: str) -> None:
        path = tuple(name.split("."))
        raise ConfigurationError(
            f"{name}: {problem}; found in {source(path, directory)}; set it in {file_for(path)} or as {variable(path)}"
        )

    security = settings.security
    key, make_one = security.secret_key, "(`openssl rand -base64 48` makes one)"
    if settings.env == "production" and not key:
        refuse("security.secret_key", f"production needs one {make_one}, and this one is empty")
    others = [("security.old_secret_keys", old_key) for old_key in security.old_secret_keys]
    others += [("metrics.token", settings.metrics.token)] * bool(settings.metrics.token)
    for name, secret in [("security.secret_key", key)] * bool(key) + others:
        if len(secret) < SECRET_KEY_MIN_LENGTH:
            needed = f"needs at least {SECRET_KEY_MIN_LENGTH} characters {make_one}"
            refuse(name, f"{needed}, and this one has {len(secret)}")
        if settings.env == "production" and is_example(secret):
            refuse(name, f"looks like an example, not like a secret {make_one}")
    if key in security.old_secret_keys:
        refuse(
            "security.old_secret_keys",
            f"has the key in it that security.secret_key is; that needs a new one {make_one}",
        )
    if settings.metrics.port and settings.metrics.port == settings.server.port:
        refuse("metrics.port", f"{settings.metrics.port} is server.port, and has to be another")
    for section, name, larger in ORDERED:
        value, limit = (getattr(getattr(settings, section), one) for one in (name, larger))
        if value > limit:
            most = f"{limit} (in {source((section, larger), directory)})"
            refuse(f"{section}.{name}", f"{value} is more than {section}.{larger}, {most}")
    if security.argon2_memory < 8 * security.argon2_lanes:
        lanes = f"{security.argon2_lanes} (in {source(('security', 'argon2_lanes'), directory)})"
        refuse("security.argon2_memory", f"{security.argon2_memory} is less than 8 for each of argon2_lanes, {lanes}")
    refuse_unsafe_mail(settings, refuse)


def refuse_unsafe_mail(settings: Settings, refuse: Callable[[str, str], None]) -> None:
    """The same of mail, where it is configured."""
    mail = settings.mail
    if not mail.host:
        return
    for name in ("sender", "base_url"):
        if not getattr(mail, name):
            refuse(f"mail.{name}", "is needed where mail.host is set, and this one is empty")
    if bool(mail.username) != bool(mail.password):
        empty = "password" if mail.username else "username"
        refuse(f"mail.{empty}", "is empty, and the other of mail.username and mail.password is not")
    if settings.env == "production" and mail.tls == "none" and mail.host not in ON_THIS_MACHINE:
        refuse("mail.tls", f"production sends no mail to {mail.host} in the clear, and this is none")
    if mail.resend_minutes > mail.password_reset_expire_minutes:
        refuse(
            "mail.resend_minutes", "is more than mail.password_reset_expire_minutes: somebody would be without a link"
        )


def is_example(key: str) -> bool:
    """Whether a secret looks like one out of a manual: few different characters, a repetition, or a telling word."""
    repeated = key in (key + key)[1:-1]
    return len(set(key)) < 10 or repeated or any(word in key.lower() for word in EXAMPLE_SECRETS)
