"""That the documentation says what is so."""

import re
import tomllib
from typing import Any

import pytest

from pamps.config import SECRETS, Settings, every_setting
from pamps.db.database import sent
from pamps.loading import load_settings
from pamps.middleware.cors import GIVEN, TAKEN
from pamps.places import DEFAULTS, variable
from tests.checkout import ROOT

CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
NAMES = [".".join(path) for path in every_setting()]


def test_the_settings_that_a_connection_sends_are_those_that_pgbouncer_is_told_to_ignore() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text()
    (ignored,) = re.findall(r"^ignore_startup_parameters = (\S+)$", operations, re.MULTILINE)
    set_for_the_role = dict(re.findall(r"^ALTER ROLE pamps SET (\w+) = '?(\w+)'?;$", operations, re.MULTILINE))
    wanted = sent(load_settings().db)
    assert set(ignored.split(",")) == wanted.keys()
    assert set_for_the_role == {name: value.replace("000ms", "s") for name, value in wanted.items()}


def test_what_pages_from_elsewhere_may_send_and_read_is_documented() -> None:
    section = (ROOT / "docs" / "api.md").read_text().split("## From a browser")[1].split("##")[0]
    sent, read = section.split("and read")
    assert set(re.findall(r"`([A-Z][\w-]+)`", sent)) == set(TAKEN)
    assert set(re.findall(r"`([A-Z][\w-]+)`", read.split(". They")[0])) == set(GIVEN)


def rows() -> dict[str, list[str]]:
    """The tables of docs/configuration.md: what stands beside each setting."""
    found = [[cell.strip() for cell in line.strip("| \n").split(" | ")] for line in CONFIGURATION.splitlines()]
    return {cells[0].strip("`"): cells[1:] for cells in found if len(cells) == 5 and cells[0].startswith("`")}


def schema_of(path: tuple[str, ...]) -> dict[str, Any]:
    document = Settings.model_json_schema()
    found = document["properties"][path[0]]
    for name in path[1:]:
        found = document["$defs"][found["$ref"].rsplit("/", 1)[1]]["properties"][name]
    return dict(found)


def kind(schema: dict[str, Any]) -> str:
    """What a setting may be, in the document's words."""
    if "enum" in schema:
        *first, last = schema["enum"]
        return f"{', '.join(f'`{one}`' for one in first)} or `{last}`"
    if "anyOf" in schema:
        return " or ".join(
            "true, false" if one.get("type") == "boolean" else f"`{one['const']}`" for one in schema["anyOf"]
        )
    if schema["type"] in ("string", "boolean"):
        return {"string": "text", "boolean": "true or false"}[schema["type"]]
    if schema["type"] == "array":
        return f"list of {kind(schema['items'])}s"
    least, above, most = schema.get("minimum"), schema.get("exclusiveMinimum"), schema.get("maximum")
    bounds = [f"over {above:g}"] if above is not None else [f"at least {least:g}"] if most is None else []
    if most is not None:
        bounds.append(f"at most {most:.0f}" if above is not None else f"{least:g} to {most:.0f}")
    return ", ".join([schema["type"], *bounds])


def test_every_setting_is_documented_and_nothing_else() -> None:
    assert list(rows()) == NAMES


def test_the_defaults_are_every_setting_and_nothing_else() -> None:
    found: list[str] = []
    for name, value in tomllib.loads(DEFAULTS.read_text()).items():
        found += [f"{name}.{inner}" for inner in value] if isinstance(value, dict) else [name]
    assert found == NAMES


@pytest.mark.parametrize("path", every_setting(), ids=NAMES)
def test_a_setting_is_documented_as_it_is(path: tuple[str, ...]) -> None:
    environment, value, default, meaning = rows()[".".join(path)]
    assert environment == f"`{variable(path)}`"
    assert value == kind(schema_of(path))
    assert len(meaning) > 15
    assert meaning.endswith("A secret") is (path in SECRETS)
    line = re.search(rf"^{path[-1]} = (.*)$", section(path), re.MULTILINE)
    assert line
    assert default == f"`{line[1]}`"


@pytest.mark.parametrize("path", every_setting(), ids=NAMES)
def test_a_default_has_a_comment(path: tuple[str, ...]) -> None:
    lines = section(path).splitlines()
    above = lines[next(n for n, line in enumerate(lines) if line.startswith(f"{path[-1]} = ")) - 1]
    assert above.startswith("# ")


def section(path: tuple[str, ...]) -> str:
    """The part of default.toml that a setting is in."""
    text = "[]\n" + DEFAULTS.read_text()
    name = path[0] if len(path) > 1 else ""
    return text.split(f"[{name}]\n", 1)[1].split("\n[", 1)[0]
