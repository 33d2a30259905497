"""`pamps backup`: a whole file or none, private, of one moment, whoever writes meanwhile."""

import os
import signal
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest

from pamps import embedded, schema
from pamps.commands import programs
from pamps.commands.backup import back_up
from pamps.config import Settings
from pamps.db import drivers
from pamps.errors import BackupError, EmbeddedError
from tests.commands import Commands
from tests.contents import contents, fill
from tests.processes import FROM_SOURCE, serving, until
from tests.root import as_root, small_disk
from tests.test_counters import recount

pytest_plugins = "tests.command_fixtures"

DUMPING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pg_dump'"
WAITING = f"{DUMPING} AND wait_event_type = 'Lock'"


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("serve-"))


def test_what_is_restored_is_what_was_backed_up(pamps: Commands, anew: Commands) -> None:
    fill(pamps)
    said = pamps("backup", "a.dump")
    size = (pamps.folder / "a.dump").stat().st_size
    assert said == f"Backed up the schema {schema.head()} and all that is in it to a.dump, {size} bytes.\n"
    assert anew("restore", "a.dump").startswith("Restored a.dump into the database ")
    assert contents(anew.uri) == contents(pamps.uri)


def test_what_a_standby_never_has_is_in_no_backup(pamps: Commands, anew: Commands) -> None:
    """There pg_dump leaves out the rows of unlogged tables, and that is a whole backup."""
    pamps.sql("INSERT INTO tally VALUES ('a', now() + interval '1 day', 1)")
    pamps("backup", "a.dump")
    anew("restore", "a.dump")
    assert anew.sql("SELECT * FROM tally") == []


def test_a_backup_is_its_owners_alone(pamps: Commands) -> None:
    before = os.umask(0)
    try:
        pamps("backup", "a.dump")
    finally:
        os.umask(before)
    assert stat.S_IMODE((pamps.folder / "a.dump").stat().st_mode) == 0o600
    assert left(pamps.folder) == ["a.dump"]


def test_a_file_that_is_there_is_replaced_only_when_told(pamps: Commands) -> None:
    file = pamps.folder / "a.dump"
    file.write_text("precious")
    file.chmod(0o644)
    assert pamps.refused("backup", "a.dump") == (
        "a.dump is there already: name another file, or say --force to replace it"
    )
    assert file.read_text() == "precious"
    pamps("backup", "a.dump", "--force")
    assert file.read_bytes()[:5] == b"PGDMP"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (pamps.folder / "folder").mkdir()
    for place in ("folder", "/dev/null"):
        assert pamps.refused("backup", place, "--force") == f"{place} isn't a file"


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("nowhere/a.dump", "no such file or directory"),
        ("file/a.dump", "not a directory"),
        ("x" * 255, "file name too long"),
    ],
)
def test_a_place_that_cannot_be_written_is_one_line(pamps: Commands, place: str, why: str) -> None:
    (pamps.folder / "file").touch()
    assert pamps.refused("backup", place) == f"{place} can't be written: {why}"
    assert left(pamps.folder) == ["file"]


@as_root
def test_on_a_full_disk_nothing_is_left(pamps: Commands) -> None:
    fill(pamps)
    with small_disk(pamps.folder, "32k") as disk:
        (disk / "a.dump").write_text("precious")
        for name in ("b.dump", "a.dump"):
            said = pamps.refused("backup", str(disk / name), "--force")
            assert said == f"{disk / name} can't be written: no space left on device"
        assert left(disk) == ["a.dump"]
        assert (disk / "a.dump").read_text() == "precious"


@pytest.mark.parametrize(
    ("spoilt", "why"),
    [
        ('"$real" "$@" | head -c 20000', "a.dump can't be read as a backup: "),
        ('"$real" --exclude-table-data=two_factor "$@"', "a.dump isn't whole: two_factor isn't in it"),
        ('"$real" --exclude-table-data=post "$@"', "a.dump isn't a backup of Pamps: post isn't in it"),
    ],
    ids=["cut off", "without a table", "without an old table"],
)
def test_what_can_not_be_restored_is_no_backup(
    pamps: Commands, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spoilt: str, why: str
) -> None:
    """It is read back: pg_dump may say that all is well, and its file be none the less."""
    fill(pamps)
    fake, real = tmp_path / "fake", embedded.programs()
    fake.mkdir()
    (fake / "pg_restore").symlink_to(real / "pg_restore")
    (fake / "pg_dump").write_text(
        f'#!/bin/sh\nreal={real}/pg_dump\n[ "$1" = --version ] && exec "$real" "$1"\n{spoilt}\n'
    )
    (fake / "pg_dump").chmod(0o755)
    monkeypatch.setattr(programs, "folders", lambda program: [fake])
    here = settings.model_copy(update={"db": settings.db.model_copy(update={"uri": pamps.uri})})
    monkeypatch.chdir(pamps.folder)
    with pytest.raises(BackupError) as refused:
        back_up(here, Path("a.dump"), force=False)
    assert refused.value.detail.startswith(why)
    assert left(pamps.folder) in ([], ["fake"])


def test_a_database_without_tables_of_ours_is_not_backed_up(anew: Commands) -> None:
    said = "the database has no tables of Pamps, so there is nothing to back up"
    assert anew.refused("backup", "a.dump") == said
    assert left(anew.folder) == []


def test_a_database_that_is_away_is_one_line(pamps: Commands) -> None:
    said = pamps.refused("backup", "a.dump", db__uri="postgresql://pamps@127.0.0.1:1/pamps")
    assert said.endswith('connection to server at "127.0.0.1", port 1 failed: Connection refused')
    assert left(pamps.folder) == []


@contextmanager
def waiting(pamps: Commands) -> Iterator[subprocess.Popen[bytes]]:
    """A backup that waits for a lock, half way: its file is begun. It goes on when this ends."""
    with closing(psycopg2.connect(pamps.uri)) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE post")
        process = subprocess.Popen(
            [*FROM_SOURCE, "backup", "a.dump"],
            cwd=pamps.folder,
            env=pamps.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        until(lambda: pamps.sql(WAITING))
        yield process


@pytest.fixture
def held_up(pamps: Commands) -> Iterator[subprocess.Popen[bytes]]:
    """One that waits for as long as the test lasts."""
    with waiting(pamps) as process:
        yield process
    process.communicate()
    until(lambda: not pamps.sql(DUMPING))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_backup_that_is_stopped_leaves_nothing(
    pamps: Commands, held_up: subprocess.Popen[bytes], number: signal.Signals, code: int
) -> None:
    assert left(pamps.folder) != []
    held_up.send_signal(number)
    assert held_up.communicate() == (b"", b"")
    assert held_up.returncode == code
    assert left(pamps.folder) == []


def test_a_file_that_has_come_meanwhile_is_not_replaced_either(pamps: Commands) -> None:
    with waiting(pamps) as process:
        (pamps.folder / "a.dump").write_text("precious")
    said = b"a.dump is there already: name another file, or say --force to replace it\n"
    assert process.communicate() == (b"", said)
    assert left(pamps.folder) == ["a.dump"]
    assert (pamps.folder / "a.dump").read_text() == "precious"


def test_a_backup_that_is_killed_leaves_no_file_of_that_name(pamps: Commands) -> None:
    noise = "SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 150)"
    pamps.add_users(1)
    pamps.sql(f"INSERT INTO post (user_id, text) SELECT 1, t FROM generate_series(1, 3000), LATERAL ({noise}) AS n (t)")
    process = subprocess.Popen([*FROM_SOURCE, "backup", "a.dump"], cwd=pamps.folder, env=pamps.environment())
    until(lambda: any(path.stat().st_size > 20_000 for path in pamps.folder.glob(".a.dump.*.part")), every=0.005)
    process.kill()
    process.wait()
    assert not (pamps.folder / "a.dump").exists()
    until(lambda: not pamps.sql(DUMPING))
    pamps("backup", "a.dump")  # what the other left is in nobody's way


def test_no_password_is_on_a_command_line(pamps: Commands, held_up: subprocess.Popen[bytes]) -> None:
    password = psycopg2.extensions.parse_dsn(pamps.uri)["password"]
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert [line for line in lines if b"pg_dump" in line and b"custom" in line] != []
    assert [line for line in lines if password.encode() in line] == []


def test_a_backup_is_of_one_moment_while_the_service_writes(pamps: Commands, anew: Commands) -> None:
    with serving(pamps.folder, pamps.environment()) as server:
        people = [server.register(f"user{number}") for number in range(4)]
        posts = [server.publish(headers, "Hello!").json()["id"] for headers in people]
        done = threading.Event()
        written = [0] * len(people)

        def write(number: int) -> None:
            while not done.is_set():
                assert server.publish(people[number], f"{number}").status_code == 201
                for method in ("POST", "DELETE"):
                    path = f"/post/{posts[number - 1]}/like/"
                    assert server.request(method, path, headers=people[number]).status_code in (200, 201)
                written[number] += 1

        threads = [threading.Thread(target=write, args=(number,)) for number in range(len(people))]
        for thread in threads:
            thread.start()
        until(lambda: all(written))
        before = sum(written)
        pamps("backup", "a.dump")
        assert sum(written) > before
        done.set()
        for thread in threads:
            thread.join()
        assert server.stop() == 0
    assert "counters were wrong" not in anew("restore", "a.dump")
    ours = drivers.engine(anew.uri)
    recount(ours)
    ours.dispose()
    posts_there = anew.sql("SELECT count(*) FROM post")[0][0]
    assert before <= posts_there <= pamps.sql("SELECT count(*) FROM post")[0][0]


# Which programs: the wheel's, else those on PATH, if they are of a version that can.

A_PROGRAM = "#!/bin/sh\necho 'pg_dump (PostgreSQL) {}'\n"


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH, and no wheel."""

    def missing() -> Path:
        raise EmbeddedError("it isn't installed")

    monkeypatch.setattr(embedded, "programs", missing)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def put(folder: Path, version: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "pg_dump").write_text(A_PROGRAM.format(version))
    (folder / "pg_dump").chmod(0o755)
    return folder


def test_without_the_wheel_programs_on_the_path_do(on_path: Path, settings: Settings) -> None:
    put(on_path, "17.2 (Debian 17.2-1)")
    assert programs.programs_for("pg_dump", settings.db.uri, settings, server=17).folder == on_path


@pytest.mark.parametrize(
    ("of_wheel", "of_path", "server", "taken"),
    [
        ("18.6", "15.20", 15, "path"),  # the server's own
        ("18.6", "15.20", 16, "wheel"),
        ("18.6", "15.20", 0, "wheel"),  # to read a file
        ("18.6", "18.10", 18, "path"),
        ("18.6", "18.5", 17, "wheel"),
    ],
)
def test_of_two_programs_the_one_next_to_the_server_is_taken(
    on_path: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    of_wheel: str,
    of_path: str,
    server: int,
    taken: str,
) -> None:
    folders = {"wheel": put(on_path / "wheel", of_wheel), "path": put(on_path, of_path)}
    monkeypatch.setattr(embedded, "programs", lambda: folders["wheel"])
    assert programs.programs_for("pg_dump", settings.db.uri, settings, server).folder == folders[taken]


def test_without_any_program_it_says_how_to_get_them(on_path: Path, settings: Settings) -> None:
    with pytest.raises(BackupError) as caught:
        programs.programs_for("pg_dump", settings.db.uri, settings)
    assert caught.value.detail == (
        "there is no pg_dump on this machine: pip install pamps[embedded], or install PostgreSQL's client programs"
    )


def test_a_program_older_than_the_server_is_not_tried(on_path: Path, settings: Settings) -> None:
    put(on_path, "15.18")
    with pytest.raises(BackupError) as caught:
        programs.programs_for("pg_dump", settings.db.uri, settings, server=18)
    assert caught.value.detail == (
        "the database is PostgreSQL 18, and the pg_dump on this machine is of 15: "
        "pip install pamps[embedded], or install PostgreSQL's client programs"
    )
