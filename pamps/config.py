"""The settings: dynaconf finds the values, pydantic vouches for them.

The places, later ones winning: `default.toml` beside this file, `settings.toml` and `.secrets.toml` in the working
directory, and the environment (`PAMPS_ENV=production`, `PAMPS_DB__uri=...`). docs/configuration.md explains them all.
"""

import os
import tomllib
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal

import platformdirs
from dynaconf import Dynaconf
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pamps.errors import ConfigurationError

DEFAULTS = Path(__file__).with_name("default.toml")
FILES = ("settings.toml", ".secrets.toml")
PREFIX = "PAMPS"

SECRET_KEY_MIN_LENGTH = 32
SECRETS = {("security", "secret_key"), ("db", "uri"), ("test_db", "uri")}
EXAMPLE_SECRETS = ("secret", "example", "changeme", "change-me", "password", "default", "insecure")


class Section(BaseModel):
    # A number for a text is what TOML makes of PAMPS_SECURITY__secret_key=1234...; take it as it was written.
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class Server(Section):
    host: str = Field(min_length=1)
    port: int = Field(ge=0, le=65535)
    workers: int = Field(ge=1, le=256)
    max_body_size: int = Field(ge=1024)
    shutdown_timeout: int = Field(ge=1)


class Db(Section):
    uri: str = Field(pattern=r"^(postgres(ql)?(\+\w+)?://.*)?$")
    embedded_dir: str
    auto_migrate: bool | Literal["auto"]
    pool_min_size: int = Field(ge=1)
    pool_size: int = Field(ge=1, le=1000)
    statement_timeout: float = Field(gt=0)
    connect_timeout: float = Field(gt=0)
    startup_timeout: float = Field(ge=0)

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
    issuer: str = Field(min_length=1)
    access_token_expire_minutes: float = Field(gt=0)
    refresh_token_expire_minutes: float = Field(gt=0)
    password_min_length: int = Field(ge=1, le=128)
    argon2_memory: int = Field(ge=8)
    argon2_passes: int = Field(ge=1)
    argon2_lanes: int = Field(ge=1)
    hash_concurrency: int = Field(ge=1)


class PostSettings(Section):
    max_length: int = Field(ge=1, le=100_000)


class TestDb(Section):
    uri: str


class Settings(Section):
    """All settings, checked and frozen: `settings.db.pool_size`."""

    env: Literal["development", "testing", "production"]
    server: Server
    db: Db
    security: Security
    post: PostSettings
    test_db: TestDb

    @property
    def auto_migrate(self) -> bool:
        """Whether the schema is migrated at start."""
        if self.db.auto_migrate == "auto":
            return self.env != "production" or not self.db.uri
        return self.db.auto_migrate


def load_settings(directory: Path | None = None) -> Settings:
    """The settings as seen from `directory` (default: the working directory).

    Raises ConfigurationError with one line that names the setting, what was found and where to set it.
    """
    directory = directory or Path.cwd()
    found = find_values(directory)
    try:
        settings = Settings.model_validate(found)
    except ValidationError as error:
        raise ConfigurationError(explain(error, directory)) from None
    refuse_unsafe(settings, directory)
    return settings


@cache
def current_settings() -> Settings:
    """The settings of this process, read once."""
    return load_settings()


def find_values(directory: Path) -> dict[str, Any]:
    """What dynaconf finds, as nested dictionaries with lower-case keys."""
    try:
        found = Dynaconf(
            envvar_prefix=PREFIX,
            root_path=str(directory),
            settings_files=[str(DEFAULTS), *(str(directory / name) for name in FILES)],
            merge_enabled=True,
            environments=False,
            core_loaders=["TOML"],
        ).as_dict()
    except Exception as error:  # dynaconf passes on whatever its parsers raise
        raise ConfigurationError(f"the settings in {directory} can't be read: {error}") from error
    settings: dict[str, Any] = lower(found)
    return settings


def lower(value: Any) -> Any:
    return {key.lower(): lower(item) for key, item in value.items()} if isinstance(value, dict) else value


def source(path: tuple[str, ...], directory: Path) -> str:
    """Where the value of a setting comes from: an environment variable, a file, or default.toml."""
    name = f"{PREFIX}_{'__'.join(path)}"
    for variable in os.environ:
        if variable.upper() == name.upper():
            return variable
    for file in reversed(FILES):
        if (directory / file).is_file():
            value: Any = lower(tomllib.loads((directory / file).read_text()))
            for key in path:
                value = value.get(key) if isinstance(value, dict) else None
            if value is not None:
                return str(directory / file)
    return DEFAULTS.name


def shown(path: tuple[str, ...], value: Any) -> str:
    """A value as it may be printed: secrets only by their length."""
    if path in SECRETS and value:
        return f"({len(str(value))} characters, not shown)"
    return repr(value)


def explain(error: ValidationError, directory: Path) -> str:
    """One line for the first thing that pydantic refuses."""
    first = error.errors()[0]
    path = tuple(str(part) for part in first["loc"] if part not in ("bool", "literal['auto']"))
    name = ".".join(path)
    if first["type"] == "extra_forbidden":
        known = [".".join(p) for p in every_setting()]
        close = get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else "; docs/configuration.md lists them all"
        return f"{name}: there is no such setting (found in {source(path, directory)}){hint}"
    message = first["msg"][0].lower() + first["msg"][1:]
    variable = f"{PREFIX}_{path[0].upper()}" + "".join(f"__{part}" for part in path[1:])
    return (
        f"{name}: {message}; found {shown(path, first['input'])} in {source(path, directory)}; "
        f"set it in settings.toml or as {variable}"
    )


def every_setting() -> list[tuple[str, ...]]:
    """The path of every setting, in the order of default.toml."""
    paths: list[tuple[str, ...]] = []
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            paths += [(name, inner) for inner in field.annotation.model_fields]
        else:
            paths.append((name,))
    return paths


def refuse_unsafe(settings: Settings, directory: Path) -> None:
    """Stop on what is well-formed but not fit: a weak secret, a pool that can't be."""
    key = settings.security.secret_key
    where = "set it in .secrets.toml or as PAMPS_SECURITY__secret_key (openssl rand -base64 48 makes one)"
    if settings.env == "production" and not key:
        raise ConfigurationError(f"security.secret_key: production needs one, and none was found; {where}")
    if key and len(key) < SECRET_KEY_MIN_LENGTH:
        raise ConfigurationError(
            f"security.secret_key: needs at least {SECRET_KEY_MIN_LENGTH} characters; "
            f"found {len(key)} in {source(('security', 'secret_key'), directory)}; {where}"
        )
    if settings.env == "production" and is_example(key):
        raise ConfigurationError(
            "security.secret_key: looks like an example, not a secret; "
            f"found in {source(('security', 'secret_key'), directory)}; {where}"
        )
    if settings.db.pool_min_size > settings.db.pool_size:
        raise ConfigurationError(
            f"db.pool_min_size: {settings.db.pool_min_size} is more than db.pool_size, "
            f"{settings.db.pool_size} (found in {source(('db', 'pool_min_size'), directory)})"
        )


def is_example(key: str) -> bool:
    """Whether a secret looks like one out of a manual: few different characters, or a telling word."""
    return len(set(key)) < 10 or any(word in key.lower() for word in EXAMPLE_SECRETS)
