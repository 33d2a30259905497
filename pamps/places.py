"""Where settings come from. Later places win:

default.toml beside this file, settings.toml and .secrets.toml in the working directory, and the environment:
PAMPS_ENV=production, PAMPS_DB__uri=... (two underscores between section and setting; after PAMPS_ case doesn't matter).
"""

import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dynaconf import Dynaconf, DynaconfFormatError
from dynaconf.loaders.env_loader import load_from_env

from pamps.errors import ConfigurationError

DEFAULTS = Path(__file__).with_name("default.toml")
FILES = ("settings.toml", ".secrets.toml")
PREFIX = "PAMPS"

Setting = tuple[str, ...]


def find_values(directory: Path, texts: Iterable[Setting]) -> dict[str, Any]:
    """What dynaconf finds, as nested dictionaries with lower-case keys. `texts` are the settings whose value is a text.

    Raises ConfigurationError for what can't be read.
    """
    # dynaconf is handed the files, and looks for none itself: it would take more than are documented, run a
    # dynaconf_hooks.py beside them, and find none in a folder with a [ in its name.
    found = Dynaconf(envvar_prefix=None, settings_files=[], core_loaders=[], environments=False, merge_enabled=True)
    values: dict[str, Any] = {}
    for file in (DEFAULTS, *(directory / name for name in FILES)):
        values = merged(values, lower(read(file)))
    refuse_twice()
    lazy = f"what stands after the @ in {', '.join([*lazy_in_files(values), *lazy_in_environment()])}"
    try:
        found.update(without_lists_given(values))
        load_from_env(found, PREFIX)
        values = lower(found.as_dict())
    except (DynaconfFormatError, OSError) as error:  # of @format and @read_file
        raise ConfigurationError(f"{lazy} can't be found out: {error}") from error
    except Exception:  # its message may hold the value, and that may be a secret
        raise ConfigurationError(f"{lazy} can't be converted") from None
    for path in texts:
        as_written(values, path)
    return values


def read(file: Path) -> dict[str, Any]:
    """The contents of a TOML file; nothing if there is no such file."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigurationError(f"{file} can't be read: {error.strerror}") from error
    except ValueError as error:  # of TOML, or of UTF-8
        raise ConfigurationError(f"{file} isn't TOML: {error}") from None


def lazy_in_environment() -> list[str]:
    """The variables whose value dynaconf is to find out, such as `@read_file /run/secrets/key`."""
    return [name for name, value in os.environ.items() if name.startswith(f"{PREFIX}_") and value.startswith("@")]


def lazy_in_files(values: Any, path: Setting = ()) -> list[str]:
    """The same of the settings in files: server.port."""
    if isinstance(values, dict):
        return [name for key, value in values.items() for name in lazy_in_files(value, (*path, key))]
    texts = values if isinstance(values, list) else [values]
    return [".".join(path)] if any(isinstance(text, str) and text.startswith("@") for text in texts) else []


def lower(value: Any) -> Any:
    return {key.lower(): lower(item) for key, item in value.items()} if isinstance(value, dict) else value


def merged(values: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """Both, setting by setting; the later one wins. (dynaconf would make one list of two.)"""
    tables = [key for key in later if isinstance(values.get(key), dict) and isinstance(later[key], dict)]
    return values | later | {key: merged(values[key], later[key]) for key in tables}


def without_lists_given(values: dict[str, Any], above: Setting = ()) -> dict[str, Any]:
    """Without the lists that the environment has as well: it wins, as it does of other settings."""
    return {
        key: without_lists_given(value, (*above, key)) if isinstance(value, dict) else value
        for key, value in values.items()
        if not (isinstance(value, list) and variable_for((*above, key)))
    }


def as_written(values: dict[str, Any], path: Setting) -> None:
    """Take a text from the environment as it is, where dynaconf made a number or a date of it."""
    *above, name = path
    for key in above:
        values = values.get(key) or {}
        if not isinstance(values, dict):
            return
    if not isinstance(values.get(name, ""), str) and (given := variable_for(path)):
        values[name] = os.environ[given]


def refuse_twice() -> None:
    """Stop where two variables differ in case alone: which of them counts would be chance."""
    first: dict[str, str] = {}
    for name in os.environ:
        if name.startswith(f"{PREFIX}_") and (other := first.setdefault(name.upper(), name)) != name:
            raise ConfigurationError(f"{other} and {name} are both in the environment, and are the same setting")


def variable(path: Setting) -> str:
    """The environment variable for a setting, as the documentation writes it: PAMPS_DB__uri."""
    return f"{PREFIX}_{'__'.join([path[0].upper(), *path[1:]])}"


def variable_for(path: Setting) -> str | None:
    """The environment variable that sets a setting, spelt as it is there."""
    for name in os.environ:
        if name.startswith(f"{PREFIX}_") and name.upper() == variable(path).upper():
            return name
    return None


def source(path: Setting, directory: Path) -> str:
    """Where the value of a setting comes from: an environment variable, a file, or default.toml."""
    for name in os.environ:
        if name.startswith(f"{PREFIX}_"):
            given = tuple(name.removeprefix(f"{PREFIX}_").lower().split("__"))
            # Also what lies above and below it: PAMPS_DB='{pool_size = 4}' sets db.pool_size, PAMPS_SEVER__port sever.
            if given[: len(path)] == path[: len(given)]:
                return name
    for name in reversed(FILES):
        value = lower(read(directory / name))
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            return str(directory / name)
    return DEFAULTS.name
