"""Kills, stops and full disks while clients write: what was acknowledged is there, and nothing is there twice.

Each client sends again, with the same Idempotency-Key, what it has no answer to.
"""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pamps import schema
from tests.checkout import fresh_clone
from tests.clusters import Cluster
from tests.processes import DEADLINE, FROM_SOURCE, environment, pamps, serving, started, until
from tests.root import as_root, small_disk
from tests.test_healing import WORKERS, fill, worker_pids
from tests.test_migrations import FAILING
from tests.writers import CLIENTS, check, writing

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


def test_one_key_through_two_processes_writes_once(folder: Path, cluster: Cluster) -> None:
    with serving(folder, loaded(db__uri=cluster.start()), *WORKERS) as server, ThreadPoolExecutor(CLIENTS) as threads:
        headers = {**server.register("ada"), "Idempotency-Key": "a", "Connection": "close"}
        sent = [threads.submit(server.publish, headers, "Hello!") for _ in range(4 * CLIENTS)]
        answers = [one.result(DEADLINE) for one in sent]
        assert {one.status_code for one in answers} <= {201, 409}
        assert len({one.content for one in answers if one.status_code == 201}) == 1
        assert cluster.column("SELECT text FROM post") == ["Hello!"]


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


def test_workers_whose_parent_is_killed_finish_what_was_begun_and_end(
    folder: Path, cluster: Cluster, rounds: int
) -> None:
    """Nobody is left who keeps the port, or the embedded database, and answers with what was installed then."""
    env = loaded(db__embedded_dir=cluster.directory)
    port: tuple[str, ...] = ()
    for _ in range(rounds + 1):
        with started(folder, env, *FROM_SOURCE, "serve", *WORKERS, *(port or ("--port", "0"))) as server:
            server.wait_until_ready()
            server.wait_until(lambda: server.output.count("Application startup complete") == 2)
            port = ("--port", server.url.rsplit(":", 1)[1])
            with writing(server, patient=False) as writers:
                writers.wait_for(5)
                server.process.kill()
                until(lambda: server.output.count("Finished server process") == 2)
                writers.finish()
            assert writers.refused() == {0: len(writers.each)}
            assert not (cluster.directory / "data" / "postmaster.pid").exists()
        cluster.start()
        check(writers, cluster)
        cluster.leave()


def test_a_new_version_that_fails_to_migrate_leaves_the_old_one_serving(folder: Path, cluster: Cluster) -> None:
    env = loaded(db__uri=cluster.start())
    # Few, for the new version starts beside them.
    with serving(folder, env, *WORKERS) as server, writing(server, clients=2) as writers:
        writers.wait_for(3)
        new = fresh_clone(folder / "new")
        step = FAILING.format(down_revision=schema.head())
        (new / "pamps" / "migrations" / "versions" / "2999_01_01_failing.py").write_text(step)
        done = pamps("migrate", cwd=folder, env={**environment(db__uri=cluster.uri), "PYTHONPATH": str(new)})
        assert (done.returncode, done.stderr) == (
            1,
            'the database refused to migrate to 2999_01_01_failing: relation "nowhere" does not exist\n',
        )
        writers.wait_for(3)
        writers.finish()
        assert server.status("/readyz") == 200
        check(writers, cluster)
        assert cluster.column("SELECT version_num FROM alembic_version") == [schema.head()]


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
