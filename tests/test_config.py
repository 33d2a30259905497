"""Settings: where they are found, and what they come to. What can't be is in test_bad_settings.py."""

import os
import random
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pamps.config import Settings, every_setting
from pamps.loading import is_example, load_settings
from tests.checkout import ROOT
from tests.processes import STRONG_SECRET, without_settings

PASSWORD = "hush-hush-0123"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    without_settings(monkeypatch)


def test_without_any_setting_the_defaults_hold(tmp_path: Path) -> None:
    settings = load_settings(tmp_path)
    assert settings.env == "development"
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8000)
    assert (settings.db.uri, settings.security.secret_key) == ("", "")


def test_later_places_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "settings.toml").write_text("[server]\nport = 1\nworkers = 1\nshutdown_timeout = 1")
    (tmp_path / ".secrets.toml").write_text("[server]\nport = 2\nworkers = 2")
    monkeypatch.setenv("PAMPS_SERVER__port", "3")
    server = load_settings(tmp_path).server
    assert (server.port, server.workers, server.shutdown_timeout, server.host) == (3, 2, 1, "127.0.0.1")


@pytest.mark.parametrize("name", ["PAMPS_DB__pool_size", "PAMPS_DB__POOL_SIZE", "PAMPS_db__pool_size"])
def test_after_the_prefix_case_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "3")
    assert load_settings(tmp_path).db.pool_size == 3


def test_names_in_files_may_be_of_any_case(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("[DB]\nPool_Size = 4")
    (tmp_path / ".secrets.toml").write_text("[db]\nPOOL_SIZE = 5")
    assert load_settings(tmp_path).db.pool_size == 5


def test_a_section_can_be_one_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAMPS_DB", "{pool_size = 5}")
    db = load_settings(tmp_path).db
    assert (db.pool_size, db.pool_min_size) == (5, 2)


def test_the_working_directory_is_where_files_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "settings.toml").write_text("[server]\nport = 1")
    monkeypatch.chdir(inner)
    assert load_settings().server.port == 8000
    monkeypatch.chdir(tmp_path)
    assert load_settings().server.port == 1


def test_any_folder_will_do(tmp_path: Path) -> None:
    folder = tmp_path / "my [new]*place?"
    folder.mkdir()
    (folder / "settings.toml").write_text("[server]\nport = 1")
    assert load_settings(folder).server.port == 1


def test_nothing_else_is_read_or_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "settings.toml").write_text("[server]\nport = 1")
    (tmp_path / "settings.local.toml").write_text("[server]\nport = 2")
    (tmp_path / "dynaconf_hooks.py").write_text("raise SystemExit('run')")
    (tmp_path / ".env").write_text("PAMPS_SERVER__port=3")
    monkeypatch.setenv("DYNACONF_SERVER__port", "4")
    assert load_settings(tmp_path).server.port == 1


@pytest.mark.parametrize("written", ["0" * 16 + "1" * 16, "9" * 40, "1_0" * 11, "1e10" * 8, "0x" + "fe" * 15])
def test_a_secret_that_looks_like_a_number_stays_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    monkeypatch.setenv("PAMPS_SECURITY__secret_key", written)
    assert load_settings(tmp_path).security.secret_key == written


@pytest.mark.parametrize("written", ["true", "2026", "1.50", "2026-11-22", "[pamps]", "{}", "nan"])
def test_a_text_that_toml_would_read_otherwise_stays_a_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    monkeypatch.setenv("PAMPS_SECURITY__issuer", written)
    assert load_settings(tmp_path).security.issuer == written


def test_a_secret_can_be_read_from_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text(f"{STRONG_SECRET}\n")
    monkeypatch.setenv("PAMPS_SECURITY__secret_key", f"@strip @read_file {tmp_path / 'key'}")
    assert load_settings(tmp_path).security.secret_key == STRONG_SECRET


def test_of_two_lists_the_later_one_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = (letter + STRONG_SECRET for letter in "abc")
    (tmp_path / "settings.toml").write_text(f"[security]\nold_secret_keys = ['{first}']\nissuer = 'first'")
    assert load_settings(tmp_path).security.old_secret_keys == (first,)
    (tmp_path / ".secrets.toml").write_text(f"[security]\nold_secret_keys = ['{second}', '{first}']")
    assert load_settings(tmp_path).security.old_secret_keys == (second, first)
    for given, found in ((f"['{third}']", (third,)), ("[]", ())):
        monkeypatch.setenv("PAMPS_SECURITY__old_secret_keys", given)
        assert load_settings(tmp_path).security.old_secret_keys == found
    assert load_settings(tmp_path).security.issuer == "first"


def test_a_list_can_be_read_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keys.json").write_text(f'["{STRONG_SECRET}"]')
    monkeypatch.setenv("PAMPS_SECURITY__old_secret_keys", f"@json @read_file {tmp_path / 'keys.json'}")
    assert load_settings(tmp_path).security.old_secret_keys == (STRONG_SECRET,)


def test_secrets_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAMPS_SECURITY__old_secret_keys", f"['old-{STRONG_SECRET}']")
    monkeypatch.setenv("PAMPS_SECURITY__secret_key", STRONG_SECRET)
    for name in ("PAMPS_DB__uri", "PAMPS_TEST_DB__uri"):
        monkeypatch.setenv(name, f"postgresql://ada:{PASSWORD}@db/pamps")
    settings = load_settings(tmp_path)
    assert settings.security.secret_key == STRONG_SECRET
    for text in (repr(settings), str(settings), repr(settings.db), f"{settings.security}"):
        assert STRONG_SECRET not in text
        assert PASSWORD not in text


def test_no_secret_that_we_show_is_good_enough_for_production() -> None:
    files = (".secrets.toml", "docs/configuration.md", "README.md", "docker-compose.yaml", "pamps/default.toml")
    text = "\n".join((ROOT / file).read_text() for file in files)
    shown = re.findall(r"""secret_key["']?\s*[=:]\s*["']?([^"'\n]+)""", text, re.IGNORECASE)
    assert len(shown) >= 2
    assert [key for key in shown if len(key) >= 32 and not is_example(key) and not key.startswith(("$", "@"))] == []


def test_a_secret_of_few_different_characters_looks_like_an_example() -> None:
    chance = random.Random(1)
    assert is_example("".join(chance.choices("abcdefghi", k=48)))
    assert not is_example("".join(chance.choices("abcdefghijklmnop", k=48)))


def test_the_place_for_local_secrets_holds_none() -> None:
    lines = (ROOT / ".secrets.toml").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []


def test_settings_are_frozen(tmp_path: Path) -> None:
    settings = load_settings(tmp_path)
    with pytest.raises(ValidationError, match="frozen"):
        settings.server.port = 1
    with pytest.raises(ValidationError, match="frozen"):
        settings.server = settings.server


@pytest.mark.parametrize(
    ("env", "uri", "setting", "migrates"),
    [
        ("development", "", "auto", True),
        ("testing", "postgresql:///x", "auto", True),
        ("development", "postgresql:///x", "auto", True),
        ("production", "", "auto", True),
        ("production", "postgresql:///x", "auto", False),
        ("production", "postgresql:///x", True, True),
        ("production", "", False, False),
        ("development", "", False, False),
    ],
)
def test_the_schema_is_migrated_at_start_but_for_production_on_a_database_of_its_own(
    tmp_path: Path, env: Any, uri: str, setting: Any, migrates: bool
) -> None:
    settings = load_settings(tmp_path)
    db = settings.db.model_copy(update={"uri": uri, "auto_migrate": setting})
    assert settings.model_copy(update={"env": env, "db": db}).auto_migrate is migrates


def test_embedded_data_lies_in_the_users_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    settings = load_settings(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert settings.db.directory == Path("/home/ada/.local/share/pamps")
    monkeypatch.setattr(os, "geteuid", lambda: 0)  # PostgreSQL's account can't enter root's home
    assert settings.db.directory == Path("/var/lib/pamps")


def test_embedded_data_lies_where_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("PAMPS_DB__embedded_dir", "~/pamps data")
    assert load_settings(tmp_path).db.directory == Path("/home/ada/pamps data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PAMPS_DB__embedded_dir", "here")
    assert load_settings(tmp_path).db.directory == tmp_path / "here"


def test_every_setting_has_a_default(tmp_path: Path) -> None:
    settings: Settings = load_settings(tmp_path)
    given = {
        (section,) if not isinstance(value, dict) else (section, name)
        for section, value in settings.model_dump().items()
        for name in (value if isinstance(value, dict) else [section])
    }
    assert given == set(every_setting())
