"""Loading the settings: dynaconf finds the values (places.py), and whatever is wrong with them is said in one line."""

from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pamps.config import SECRETS, Settings, every_setting, is_text
from pamps.errors import ConfigurationError
from pamps.places import find_values, source, variable

SECRET_KEY_MIN_LENGTH = 32
EXAMPLE_SECRETS = ("secret", "example", "changeme", "change-me", "password", "default", "insecure", "openssl")
# In each section, the first may not be more than the second.
ORDERED = (
    ("db", "pool_min_size", "pool_size"),
    ("guesses", "first_delay", "longest_delay"),
    ("guesses", "longest_delay", "forgotten_after"),
)
ON_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


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
