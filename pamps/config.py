"""The settings, section by section; pydantic vouches for them. docs/configuration.md lists all."""

import os
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field

from pamps.notations import Folder, Mailbox, Networks, Origins, Page, Rate, Texts, TokenPath, Uri

SECRETS = {
    *(("security", "secret_key"), ("security", "old_secret_keys"), ("metrics", "token")),
    *(("db", "uri"), ("test_db", "uri"), ("mail", "password")),
}
DAY = 86_400  # seconds
CENTURY = 52_560_000  # minutes


class Section(BaseModel):
    # Strict: `workers = true` is a mistake. TOML has inf and nan, which mean nothing here.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


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
    kept_megabytes: int = Field(ge=0, le=65_536)
    idempotency_hours: float = Field(gt=0, le=8760)
    cors_origins: Origins
    hsts_max_age: int = Field(ge=0, le=100 * 365 * DAY)


class Limits(Section):
    sign_up: Rate
    sign_in: Rate
    write: Rate
    read: Rate
    search: Rate
    shared: bool


class Db(Section):
    uri: Uri
    embedded_dir: Folder
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
    email_change_minutes: float = Field(gt=0, le=CENTURY)
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
    sender: Mailbox
    service: str = Field(min_length=1, max_length=100)
    base_url: Page
    verification_path: TokenPath
    password_reset_path: TokenPath
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
