"""Kills, stops and full disks while clients write: what was acknowledged is there, and nothing is there twice.

Each client sends again, with the same Idempotency-Key, what it has no answer to.
"""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.clusters import Cluster
from tests.processes import environment, serving, until
from tests.root import as_root, small_disk
from tests.test_healing import WORKERS, fill, worker_pids
from tests.writers import check, writing

pytest_plugins = "tests.cluster_fixtures"

PROMISED = 5  # seconds from when the database is back to when the service answers


def loaded(**settings: Any) -> dict[str, str]:
    """An environment in which nobody writes too much."""
    return environment(limits__write="1000000/minute", **settings)


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    return 6 if request.config.getoption("--slow") else 1


def test_a_database_that_is_killed_loses_nothing_and_is_used_again_in_time(
    folder: Path, cluster: Cluster, rounds: int
) -> None:
    with serving(folder, loaded(db__uri=cluster.start()), *WORKERS) as server, writing(server) as writers:
        for _ in range(rounds):
            writers.wait_for(5)
            cluster.kill()
            until(lambda: server.status("/post/") == 503)
            cluster.start()
            until(lambda: server.status("/post/") == 200, deadline=PROMISED)
            writers.wait_for(1)
        writers.finish()
        assert writers.refused().keys() & {0, 503}
        check(writers, cluster)
        assert "Traceback" not in server.output


def test_an_embedded_database_that_is_killed_loses_nothing_either(folder: Path, cluster: Cluster, rounds: int) -> None:
    env = loaded(db__embedded_dir=cluster.directory)
    with serving(folder, env, *WORKERS) as server, writing(server) as writers:
        for _ in range(rounds):
            writers.wait_for(5)
            os.kill(cluster.pid, signal.SIGKILL)
            writers.wait_for(1)
        writers.finish()
        cluster.start()
        check(writers, cluster)
        assert "Traceback" not in server.output


def test_a_worker_that_is_killed_is_replaced_and_the_others_go_on(folder: Path, cluster: Cluster, rounds: int) -> None:
    with serving(folder, loaded(db__uri=cluster.start()), *WORKERS) as server, writing(server) as writers:
        until(lambda: len(worker_pids(server)) == 2)
        for number in range(rounds):
            writers.wait_for(5)
            os.kill(worker_pids(server)[number], signal.SIGKILL)
            writers.wait_for(5)  # those whose connection was lost, by another process
            until(lambda n=number: len(worker_pids(server)) == 3 + n)  # type: ignore[misc]
        writers.finish()
        assert writers.refused().keys() <= {0, 409}
        check(writers, cluster)
        assert server.stop() == 0


def test_who_is_told_to_end_finishes_what_was_begun(folder: Path, cluster: Cluster, rounds: int) -> None:
    """Nobody gets half an answer: it is whole, or the connection ends before its first byte."""
    env = loaded(db__uri=cluster.start())
    for number in range(rounds):
        options = () if number % 2 else WORKERS
        with serving(folder, env, *options) as server, writing(server, patient=False) as writers:
            writers.wait_for(5)
            assert server.stop() == 0
            writers.finish()
        assert writers.refused() == {0: len(writers.each)}
        check(writers, cluster)
        assert "Traceback" not in server.output


@as_root
def test_a_full_disk_and_room_again_lose_nothing(folder: Path) -> None:
    with small_disk(folder) as disk:
        env = loaded(db__embedded_dir=disk / "db")
        with serving(folder, env, *WORKERS) as server, writing(server) as writers:
            writers.wait_for(5)
            filler = fill(disk)
            until(lambda: writers.refused()[503] > len(writers.each))
            assert server.status("/post/") == 200
            filler.unlink()
            writers.wait_for(5)
            writers.finish()
            on_disk = Cluster(disk / "db")
            on_disk.start()
            check(writers, on_disk)
            on_disk.leave()
            assert "Traceback" not in server.output
