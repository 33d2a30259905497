"""The command line as a whole: its help, its errors, its signals; `migrate`, `reset-db`, `openapi` and `config`."""

import json
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from pamps import __version__, config, schema
from pamps.app import create_app
from pamps.loading import load_settings
from tests.commands import Commands
from tests.locks import WAITING
from tests.processes import FROM_SOURCE, STRONG_SECRET, until
from tests.terminal import terminal

pytest_plugins = "tests.command_fixtures"

PRODUCTION: dict[str, Any] = {"env": "production", "security__secret_key": STRONG_SECRET}
BEHIND = f"the schema is not there yet, this version needs {schema.head()}; run: pamps migrate"


def revision(pamps: Commands) -> list[tuple[str]]:
    return pamps.sql("SELECT version_num FROM alembic_version")


def test_the_version_is_printed(pamps: Commands) -> None:
    assert pamps("--version") == f"{__version__}\n"


def test_the_help_names_every_command(pamps: Commands) -> None:
    users = ["adduser", "create-user", "passwd", "two-factor-off", "role", "suspend", "unsuspend", "user-list"]
    names = [
        "serve",
        "migrate",
        *users,
        "shell",
        "reset-db",
        "backup",
        "restore",
        "doctor",
        "demo",
        "openapi",
        "config",
    ]
    lines = pamps("--help").split("Commands")[1].splitlines()
    assert [line.split()[1] for line in lines if line.startswith("│ ") and line[2] != " "] == names


def test_without_a_command_there_is_help(pamps: Commands) -> None:
    done = pamps.run()
    assert (done.returncode, done.stderr) == (2, "")
    assert "Usage: pamps [OPTIONS] COMMAND [ARGS]..." in done.stdout


def test_help_is_not_kept_waiting_by_what_the_commands_need() -> None:
    slow = ("pydantic", "sqlalchemy", "fastapi", "alembic", "uvicorn", "passlib", "dynaconf", "asyncio")
    code = f"import sys, pamps.cli; print([name for name in {slow} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"[]\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("adusr",), "No such command 'adusr'. Did you mean 'adduser'? (pamps --help tells more)"),
        (("adduser",), "Missing argument 'email'. (pamps adduser --help tells more)"),
        (("user-list", "--nonsense"), "No such option: --nonsense (pamps user-list --help tells more)"),
        (("passwd", "\udcff"), "the command line is not UTF-8"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(
    pamps: Commands, arguments: tuple[str, ...], said: str
) -> None:
    assert pamps.refused(*arguments, code=2) == said


def test_an_error_is_red_at_a_terminal(pamps: Commands) -> None:
    with terminal("nonsense", cwd=pamps.folder, env=pamps.environment()) as there:
        assert there.end() == 2
    assert there.screen == "\x1b[31mNo such command 'nonsense'. (pamps --help tells more)\x1b[0m\n"


@pytest.mark.parametrize("arguments", [("user-list",), ("reset-db", "--force"), ("migrate",)])
def test_a_database_that_is_away_is_one_line(pamps: Commands, arguments: tuple[str, ...]) -> None:
    nowhere = "postgresql://pamps@127.0.0.1:1/pamps"
    said = pamps.refused(*arguments, db__uri=nowhere, db__startup_timeout=0)
    assert said.startswith("the database can't be ")
    assert said.endswith('connection to server at "127.0.0.1", port 1 failed: Connection refused')


def test_settings_that_cannot_be_read_are_one_line(pamps: Commands) -> None:
    (pamps.folder / "settings.toml").write_text("[db\n")
    assert pamps.refused("user-list").startswith(f"{pamps.folder}/settings.toml isn't TOML: ")


def test_a_setting_that_is_none_is_one_line(pamps: Commands) -> None:
    assert pamps.refused("config", db__pool="4").startswith(
        "db.pool: there is no such setting (found in PAMPS_db__pool)"
    )


def test_the_schema_is_made_by_the_first_command_where_that_is_allowed(anew: Commands) -> None:
    assert anew.refused("user-list", **PRODUCTION) == BEHIND
    assert anew.refused("user-list", db__auto_migrate="false") == BEHIND
    assert anew("user-list", "--json") == ""
    assert revision(anew) == [(schema.head(),)]
    assert anew("user-list", "--json", **PRODUCTION) == ""


def test_the_schema_of_a_newer_version_is_left_alone(apart: Commands) -> None:
    apart.sql("UPDATE alembic_version SET version_num = 'later'")
    for command in ("user-list", "migrate"):
        assert apart.refused(command) == (
            "the database's schema is later, of a Pamps that is newer than this one: install that"
        )
    assert revision(apart) == [("later",)]


def test_a_database_with_other_tables_is_left_as_it_is(anew: Commands) -> None:
    anew.sql('CREATE TABLE "user" (id text)')
    said = 'the database refused to migrate to 2026_11_22_first_tables: relation "user" already exists'
    assert [anew.refused(command) for command in ("migrate", "user-list")] == [said, said]
    assert anew.sql("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace") == [("user",)]


def test_what_nobody_expected_is_one_line_too_unless_asked_for_more(apart: Commands) -> None:
    apart.sql("CREATE OR REPLACE FUNCTION fold(value text) RETURNS text LANGUAGE sql RETURN repeat(value, 1 / 0)")
    said = apart.refused("user-list", "--filter", "a")
    assert said == "unexpected: DivisionByZeroError: division by zero (pamps --traceback ... shows where)"
    done = apart.run("--traceback", "user-list", "--filter", "a")
    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr


def test_a_closed_pipe_ends_a_command_quietly(pamps: Commands) -> None:
    pamps.add_users(5000)
    process = subprocess.Popen(
        [*FROM_SOURCE, "user-list"],
        cwd=pamps.folder,
        env=pamps.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline() == b"id\tusername\tname\tsince\tposts\tfollowers\n"
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_command_quietly(pamps: Commands, number: signal.Signals, code: int) -> None:
    with closing(psycopg2.connect(pamps.uri)) as connection, connection.cursor() as cursor:
        cursor.execute('LOCK TABLE "user"')
        process = subprocess.Popen(
            [*FROM_SOURCE, "user-list"],
            cwd=pamps.folder,
            env=pamps.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        until(lambda: pamps.sql(WAITING))
        process.send_signal(number)
        assert process.communicate() == (b"", b"")
    assert process.returncode == code


def test_migrate_goes_up_and_down(anew: Commands) -> None:
    assert anew("migrate") == f"The schema is at {schema.head()}.\n"
    assert revision(anew) == [(schema.head(),)]
    assert anew("migrate", "--to", "base", "--force") == "The schema is at base.\n"
    assert revision(anew) == []
    first = schema.revisions()[-1]
    assert anew("migrate", "--to", first, **PRODUCTION) == f"The schema is at {first}.\n"
    assert revision(anew) == [(first,)]


def test_migrate_asks_before_it_goes_down(apart: Commands) -> None:
    apart.add_users(1)
    second = schema.revisions()[1]
    assert apart.refused("migrate", "--to", second) == "there is no terminal to ask on: say --force if you mean it"
    for answer, code, after in (("\n", 1, schema.head()), ("y\n", 0, second)):
        with terminal("migrate", "--to", second, cwd=apart.folder, env=apart.environment()) as there:
            there.shows(f"Take the schema back to {second}, and lose what that has no place for? [y/N] ")
            assert there.end_with(answer) == code
        assert revision(apart) == [(after,)]


def test_migrate_knows_its_revisions(pamps: Commands) -> None:
    said = pamps.refused("migrate", "--to", "nonsense", code=2)
    assert said.startswith("Invalid value: there is no revision nonsense; there are base, ")
    assert schema.head() in said


def test_reset_db_asks_first(apart: Commands) -> None:
    apart.add_users(1)
    name = apart.database
    assert apart.refused("reset-db") == "there is no terminal to ask on: say --force if you mean it"
    for answer, code, left in (("\n", 1, [(1,)]), ("\x03", 130, [(1,)]), ("y\n", 0, [])):
        with terminal("reset-db", cwd=apart.folder, env=apart.environment()) as there:
            there.shows(f"Delete everything in the database {name}? [y/N] ")
            assert there.end_with(answer) == code
        assert there.complaints == []
        assert apart.sql('SELECT id FROM "user"') == left
    assert revision(apart) == [(schema.head(),)]


def test_reset_db_in_production_wants_to_be_told_the_name(apart: Commands) -> None:
    apart.add_users(1)
    name = apart.database
    assert apart.refused("reset-db", "--force", **PRODUCTION) == (
        "this is production: say --database NAME to empty the database of that name"
    )
    assert apart.refused("reset-db", "--force", "--database", "other") == (
        f"the database is named {name}, not other; nothing was changed"
    )
    assert apart.sql('SELECT id FROM "user"') == [(1,)]
    assert apart("reset-db", "--force", "--database", name, **PRODUCTION) == f"The database {name} is empty.\n"
    assert apart.sql('SELECT id FROM "user"') == []


def test_openapi_prints_the_document_and_needs_no_database(pamps: Commands, tmp_path: Path) -> None:
    said = pamps("openapi", db__uri="", db__embedded_dir=tmp_path / "data")
    assert json.loads(said) == create_app(load_settings(tmp_path)).openapi()
    assert list(tmp_path.iterdir()) == []


def test_config_shows_what_holds_and_where_it_comes_from_but_no_secret(pamps: Commands) -> None:
    (pamps.folder / "settings.toml").write_text("[db]\npool_size = 4\n[post]\nmax_length = 140\n")
    (pamps.folder / ".secrets.toml").write_text(f'[security]\nsecret_key = "{STRONG_SECRET}"\n')
    lines = [line.split("  ") for line in pamps("config", post__max_length=280).splitlines()]
    found = {words[0]: (words[1:-1], words[-1]) for words in ([w.strip() for w in line if w] for line in lines)}
    assert found["env"] == (['"development"'], "default.toml")
    assert found["db.pool_size"] == (["4"], f"{pamps.folder}/settings.toml")
    assert found["post.max_length"] == (["280"], "PAMPS_post__max_length")
    masked = f'"({len(STRONG_SECRET)} characters, not shown)"'
    assert found["security.secret_key"] == ([masked], f"{pamps.folder}/.secrets.toml")
    assert found["db.uri"] == ([f'"({len(pamps.uri)} characters, not shown)"'], "PAMPS_db__uri")
    assert list(found) == [".".join(path) for path in config.every_setting()]


def test_config_in_json_has_the_values_as_they_are(pamps: Commands) -> None:
    said = pamps("config", "--json")
    rows = json.loads(said)
    assert [row["name"] for row in rows] == [".".join(path) for path in config.every_setting()]
    assert {"name": "server.port", "value": 8000, "source": "default.toml"} in rows
    assert pamps.uri not in said
