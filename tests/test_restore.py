"""`pamps restore`: all of a backup or nothing, over data only when told, on any database of any machine."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from pamps import embedded, schema, startup
from pamps.commands.archive import CHECKSUM
from tests.commands import Commands
from tests.contents import contents, fill
from tests.processes import STRONG_SECRET, pamps, serving, short_folder
from tests.revisions import LATER, later_version

PRODUCTION: dict[str, Any] = {"env": "production", "security__secret_key": STRONG_SECRET}


@pytest.fixture(scope="module")
def original(new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """What all backups here are of, and in its folder the backup: a.dump. Only to be read."""
    commands = Commands(new_database(), tmp_path_factory.mktemp("original"))
    fill(commands)
    commands("backup", "a.dump")
    return commands


@pytest.fixture
def anew(original: Commands, new_database: Callable[[], str], tmp_path: Path) -> Commands:
    """On a database without any table, beside a backup: a.dump."""
    shutil.copy(original.folder / "a.dump", tmp_path)
    return Commands(new_database(), tmp_path)


@pytest.fixture
def used(original: Commands, migrated_database: Callable[[], str], tmp_path: Path) -> Commands:
    """The same with tables, and with somebody in them."""
    shutil.copy(original.folder / "a.dump", tmp_path)
    commands = Commands(migrated_database(), tmp_path)
    commands.add_users(3)
    return commands


@pytest.fixture
def machine() -> Iterator[Commands]:
    """A machine with nothing on it but Pamps and its embedded database, that is still to be made."""
    with short_folder() as folder:
        yield Commands.embedded(folder)


def test_a_backup_moves_to_an_embedded_database_and_back(original: Commands, anew: Commands, machine: Commands) -> None:
    shutil.copy(original.folder / "a.dump", machine.folder)
    assert machine("restore", "a.dump") == "Restored a.dump into the database pamps.\n"
    machine("backup", "b.dump")
    shutil.copy(machine.folder / "b.dump", anew.folder)
    assert anew("restore", "b.dump") == f"Restored b.dump into the database {anew.database}.\n"
    assert contents(anew.uri) == contents(original.uri)


def test_a_migrated_database_with_nothing_in_it_takes_a_backup(original: Commands, anew: Commands) -> None:
    startup.migrate(anew.uri)
    anew("restore", "a.dump", **PRODUCTION)
    assert contents(anew.uri) == contents(original.uri)
    assert anew.sql("SELECT FROM pg_stats WHERE tablename = 'post'")  # or plans would be made for empty tables


def test_data_is_replaced_only_when_told(original: Commands, used: Commands) -> None:
    before = contents(used.uri)
    assert used.refused("restore", "a.dump") == (
        f"there is data in the database {used.database}: say --force to replace all of it by the backup"
    )
    assert contents(used.uri) == before
    used("restore", "a.dump", "--force")
    assert contents(used.uri) == contents(original.uri)


def test_production_wants_to_be_told_the_name(original: Commands, used: Commands) -> None:
    before = contents(used.uri)
    assert used.refused("restore", "a.dump", "--force", **PRODUCTION) == (
        "this is production: say --database NAME to replace what is in the database of that name"
    )
    said = used.refused("restore", "a.dump", "--force", "--database", "other", **PRODUCTION)
    assert said == f"the database is named {used.database}, not other; nothing was changed"
    assert contents(used.uri) == before
    used("restore", "a.dump", "--force", "--database", used.database, **PRODUCTION)
    assert contents(used.uri) == contents(original.uri)


@pytest.mark.parametrize("part", [0.999, 0.9, 0.5, 0.3, 0.1, 0.001])
def test_a_file_that_was_cut_off_changes_nothing(used: Commands, part: float) -> None:
    file = used.folder / "a.dump"
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * part)])
    assert_nothing_is_restored(used)


@pytest.mark.parametrize("part", [0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1])
def test_a_file_in_which_a_bit_has_turned_changes_nothing(used: Commands, part: float) -> None:
    file = used.folder / "a.dump"
    content = bytearray(file.read_bytes())
    content[int((len(content) - 2) * part)] ^= 1
    file.write_bytes(content)
    said = assert_nothing_is_restored(used)
    assert said == "a.dump has changed since it was written: its checksum is of something else"


@pytest.mark.parametrize("place", [b"CREATE TABLE", b"CREATE FUNCTION", b"rows"])
def test_a_file_without_a_checksum_and_with_garbage_in_it_changes_nothing(used: Commands, place: bytes) -> None:
    file = used.folder / "a.dump"
    whole = file.read_bytes().rpartition(CHECKSUM)[0]
    at = len(whole) - 200 if place == b"rows" else whole.index(place)
    file.write_bytes(whole[:at] + b"\xff" * 64 + whole[at + 64 :])  # never UTF-8, and no compressed data
    assert_nothing_is_restored(used)


def test_what_pg_dump_itself_made_is_restored(anew: Commands, original: Commands) -> None:
    dump(original.uri, anew.folder / "a.dump", "-Fc")
    anew("restore", "a.dump")
    assert contents(anew.uri) == contents(original.uri)


def assert_nothing_is_restored(used: Commands) -> str:
    """What `pamps restore` says to a.dump. In the middle of a table's rows it is PostgreSQL that finds it out."""
    before = contents(used.uri)
    said = used.refused("restore", "a.dump", "--force")
    unread = ("a.dump has changed since it was written: ", "a.dump can't be read as a backup: ")
    assert said.startswith((*unread, "nothing was restored and nothing was changed: "))
    assert contents(used.uri) == before
    return said


def dump(uri: str, file: Path, *options: str) -> None:
    subprocess.run([embedded.programs() / "pg_dump", *options, "-f", file, "-d", uri], check=True)


def test_what_is_no_backup_of_ours_is_refused(used: Commands, new_database: Callable[[], str]) -> None:
    before = contents(used.uri)
    (used.folder / "empty").touch()
    (used.folder / "text").write_text("Dear diary,\n" * 100)
    dump(used.uri, used.folder / "plain.sql")
    other = new_database()
    connection = psycopg2.connect(other)
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE alembic_version (version_num text); CREATE TABLE other (id int)")
    connection.close()
    dump(other, used.folder / "other.dump", "-Fc")
    for name, why in {
        "empty": "empty can't be read as a backup: input file is too short (read 0, expected 5)",
        "text": "text can't be read as a backup: input file does not appear to be a valid tar archive",
        "plain.sql": "plain.sql can't be read as a backup: "
        "input file appears to be a text format dump. Please use psql.",
        "other.dump": "other.dump isn't a backup of Pamps: like isn't in it",
        "nowhere": "nowhere can't be read: No such file or directory",
        ".": ". can't be read: Is a directory",
    }.items():
        assert used.refused("restore", name, "--force") == why
    assert contents(used.uri) == before


def later(commands: Commands, folder: Path) -> Callable[..., str]:
    """The commands of a newer version, on the same database."""
    env = commands.environment() | {"PYTHONPATH": str(later_version(folder))}

    def run(*arguments: str) -> str:
        done = pamps(*arguments, cwd=commands.folder, env=env)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    return run


def test_an_older_backup_is_brought_up_to_this_version(
    used: Commands, tmp_path_factory: pytest.TempPathFactory
) -> None:
    newer = later(used, tmp_path_factory.mktemp("later"))
    newer("migrate")
    assert used.sql("SELECT user_id FROM later ORDER BY 1") == [(1,), (2,), (3,)]
    assert newer("restore", "a.dump", "--force").splitlines()[1] == f"The schema was {schema.head()} and is {LATER}."
    assert used.sql("SELECT version_num FROM alembic_version") == [(LATER,)]
    assert used.sql("SELECT count(*) FROM later") == used.sql('SELECT count(*) FROM "user"') != [(3,)]


def test_a_backup_of_a_newer_version_is_refused(used: Commands, tmp_path_factory: pytest.TempPathFactory) -> None:
    newer = later(used, tmp_path_factory.mktemp("later"))
    newer("migrate")
    newer("backup", "newer.dump")
    before = contents(used.uri)
    assert used.refused("restore", "a.dump", "--force") == (
        f"the database's schema is {LATER}, of a Pamps that is newer than this one: install that"
    )
    newer("migrate", "--to", schema.head(), "--force")
    assert used.refused("restore", "newer.dump", "--force") == (
        f"newer.dump is of the schema {LATER}, which this version doesn't know: install the Pamps that wrote it"
    )
    newer("migrate")
    assert contents(used.uri) == before


def test_what_cannot_be_replaced_stays_as_it_was(used: Commands) -> None:
    used.sql('CREATE TABLE mine (user_id bigint REFERENCES "user" (id))')
    before = contents(used.uri)
    assert used.refused("restore", "a.dump", "--force") == (
        "nothing was restored and nothing was changed: "
        "cannot drop desired object(s) because other objects depend on them"
    )
    assert contents(used.uri) == before


def test_counters_that_were_wrong_are_right_afterwards(
    original: Commands, anew: Commands, new_database: Callable[[], str]
) -> None:
    spoilt = Commands(new_database(), anew.folder)
    spoilt("restore", "a.dump")
    spoilt.sql("UPDATE post SET like_count = like_count + 2 WHERE mod(id, 5) = 0")
    spoilt.sql('UPDATE "user" SET post_count = 0, follower_count = 1 WHERE id = 1')
    (wrong,) = spoilt.sql("SELECT count(*) + 2 FROM post WHERE mod(id, 5) = 0")
    spoilt("backup", "spoilt.dump")
    said = anew("restore", "spoilt.dump").splitlines()
    assert said[1:] == [f"{wrong[0]} counters were wrong in it, and are right."]
    assert contents(anew.uri) == contents(original.uri)


def test_a_service_goes_on_with_what_was_restored_under_it(original: Commands, used: Commands) -> None:
    with serving(used.folder, used.environment(server__workers=2)) as server:
        headers = server.register("somebody")
        for _ in range(20):  # so that each connection has prepared what it runs
            assert server.publish(headers, "before").status_code == 201
        used("restore", "a.dump", "--force")
        assert server.request("GET", "/user/me/", headers=headers).json()["code"] == "session-ended"
        there = {
            text for (text,) in original.sql("SELECT text FROM post WHERE user_id IS NOT NULL AND parent_id IS NULL")
        }
        assert server.texts() == there
        again = server.register("somebody")
        for _ in range(20):
            assert server.publish(again, "after").status_code == 201
