"""What Pamps puts right by itself: an embedded PostgreSQL that is gone, a server process that is gone, a full disk."""

import os
import re
import signal
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

import psycopg2
import pytest

from pamps.embedded import running
from tests.clusters import Cluster
from tests.processes import Server, environment, serving, until
from tests.root import as_root, small_disk

pytest_plugins = "tests.cluster_fixtures"

WORKERS = ("--workers", "2")


def server_pid(directory: Path) -> int:
    """The process of the PostgreSQL in a directory."""
    return int((directory / "data" / "postmaster.pid").read_text().split()[0])


@pytest.mark.parametrize("options", [(), WORKERS], ids=["one process", "two workers"])
def test_an_embedded_postgresql_that_was_killed_is_started_again(
    folder: Path, cluster: Cluster, options: tuple[str, ...]
) -> None:
    with serving(folder, environment(db__embedded_dir=cluster.directory), *options) as server:
        ada = server.register("ada")
        assert server.publish(ada, "before").status_code == 201
        os.kill(server_pid(cluster.directory), signal.SIGKILL)
        until(lambda: server.status("/post/") == 503)
        until(lambda: server.status("/post/") == 200)
        assert server.publish(ada, "after").status_code == 201
        assert server.texts() == {"before", "after"}
        until(lambda: "the embedded PostgreSQL is up again" in server.output)
        assert server.stop() == 0
        until(lambda: not (cluster.directory / "data" / "postmaster.pid").exists())


def test_a_postgresql_that_can_not_start_is_tried_until_it_can(folder: Path, cluster: Cluster) -> None:
    with serving(folder, environment(db__embedded_dir=cluster.directory)) as server:
        version = cluster.directory / "data" / "PG_VERSION"
        made_by = version.read_text()
        version.write_text("9\n")
        os.kill(server_pid(cluster.directory), signal.SIGKILL)
        until(lambda: server.status("/readyz") == 503)
        until(lambda: server.status("/readyz") == 503 and server.complaints)
        server.expected = set(server.complaints)
        (said,) = server.expected
        assert said.startswith(f"{cluster.directory}/data was made by PostgreSQL 9 and this is ")
        assert server.status("/livez") == 200
        version.write_text(made_by)
        server.wait_until_ready()


def test_pamps_ends_in_order_without_its_postgresql(folder: Path, cluster: Cluster) -> None:
    with serving(folder, environment(db__embedded_dir=cluster.directory)) as server:
        os.kill(server_pid(cluster.directory), signal.SIGKILL)
        assert server.stop() == 0


def test_a_worker_that_was_killed_is_replaced(folder: Path, cluster: Cluster) -> None:
    with serving(folder, environment(db__uri=cluster.start()), *WORKERS) as server:
        until(lambda: len(worker_pids(server)) == 2)
        os.kill(worker_pids(server)[0], signal.SIGKILL)
        until(lambda: len(worker_pids(server)) == 3)
        server.wait_until_ready()
        assert server.register("ada")
        assert server.stop() == 0


def worker_pids(server: Server) -> list[int]:
    """The processes that have begun to serve, in that order."""
    return [int(pid) for pid in re.findall(r"Started server process .*?(\d+)", server.output)]


def fill(disk: Path) -> Path:
    """A file that leaves no room for another."""
    with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while filler.write(b"x" * 4096):
            pass
    return disk / "filler"


def use_up_the_log(uri: str) -> None:
    """Go on until the write-ahead log needs another file: without room for that, PostgreSQL gives up."""
    connection = psycopg2.connect(uri)
    connection.autocommit = True
    for _ in range(10):
        connection.cursor().execute("SELECT pg_switch_wal(); SELECT txid_current()")


@as_root
def test_on_a_full_disk_nothing_is_half_written_and_reading_goes_on(folder: Path) -> None:
    with small_disk(folder) as disk, serving(folder, environment(db__embedded_dir=disk / "db")) as server:
        ada = server.register("ada")
        filler = fill(disk)
        written: set[str] = set()
        for _ in range(2000):
            text = token_hex(2500)
            if (answer := server.publish(ada, text)).status_code != 201:
                break
            written.add(text)
        assert (answer.status_code, answer.json()["code"]) == (503, "database-unavailable")
        assert server.texts() == written
        assert server.get("/user/ada/").json()["post_count"] == len(written)
        filler.unlink()
        assert server.publish(ada, "after").status_code == 201
        assert server.texts() == {*written, "after"}


@as_root
def test_a_postgresql_that_a_full_disk_has_brought_down_comes_back_with_the_room(folder: Path) -> None:
    with small_disk(folder) as disk, serving(folder, environment(db__embedded_dir=disk / "db")) as server:
        ada = server.register("ada")
        assert server.publish(ada, "before").status_code == 201
        filler = fill(disk)
        with running(disk / "db") as uri, pytest.raises(psycopg2.OperationalError):
            use_up_the_log(uri)
        full = f"the disk of {disk}/db is full: make room and start again"
        server.expected = {f"the PostgreSQL in {disk}/db doesn't start: {full}"}
        until(lambda: server.status("/post/") == 503 and server.complaints)
        assert server.status("/livez") == 200
        filler.unlink()
        until(lambda: server.publish(ada, "after").status_code == 201)
        assert server.texts() == {"before", "after"}
