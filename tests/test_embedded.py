"""The embedded PostgreSQL, made, reached and shared, against the real thing; the secret key beside it.

Run by root, the server runs under the account `pamps`; run by anybody else, as whoever that is. Both have to pass.
"""

import asyncio
import os
import signal
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from pamps.embedded import running, secret_key
from pamps.errors import EmbeddedError
from tests.embedded import DEADLINE, leaves, owner_of_data, postmaster, query, refusal, server_is_up, start_user, user

pytest_plugins = "tests.embedded_fixtures"


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
