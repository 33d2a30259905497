"""Bad days, in processes of their own: the database stops, hangs, fills up or is not there yet; Pamps is killed.

test_bad_days.py has what can be told without processes.
"""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2

from tests.clusters import Cluster
from tests.processes import DEADLINE, STRONG_SECRET, environment, pamps, serving, until

pytest_plugins = "tests.cluster_fixtures"

# What uvicorn says of a request that takes longer than the end of a process may.
CUT_OFF = {"Cancel 1 running task(s), timeout graceful shutdown exceeded", "Exception in ASGI application"}


def test_a_database_that_stops_is_503_and_all_is_well_once_it_is_back(folder: Path, cluster: Cluster) -> None:
    with serving(folder, environment(db__uri=cluster.start())) as server:
        ada = server.register("ada")
        assert server.publish(ada, "before").status_code == 201
        cluster.stop()
        for path in ("/post/", "/readyz"):
            assert server.problem(path) == (503, "database-unavailable", "5")
        assert server.publish(ada, "meanwhile").status_code == 503
        assert [server.status(path) for path in ("/livez", "/", "/docs")] == [200, 200, 200]
        cluster.start()
        server.wait_until_ready()
        assert server.publish(ada, "after").status_code == 201
        assert server.texts() == {"before", "after"}


def test_a_database_that_hangs_is_503_in_time_and_stops_nothing_else(folder: Path, cluster: Cluster) -> None:
    env = environment(db__uri=cluster.start(), db__statement_timeout=0.2, db__connect_timeout=0.5)
    with serving(folder, env) as server:
        with cluster.frozen(), ThreadPoolExecutor(1) as thread:
            answer = thread.submit(server.problem, "/post/")
            assert server.status("/livez") == 200
            assert not answer.done()
            assert answer.result(DEADLINE) == (503, "database-unavailable", "5")
        server.wait_until_ready()
        assert server.texts() == set()


def test_pamps_ends_though_its_database_hangs(folder: Path, cluster: Cluster) -> None:
    env = environment(db__uri=cluster.start(), db__connect_timeout=0.5, server__shutdown_timeout=1)
    with serving(folder, env) as server, cluster.frozen(), ThreadPoolExecutor(1) as thread:
        server.expected = CUT_OFF
        answer = thread.submit(server.status, "/post/")
        until(lambda: server.status("/livez") == 200)
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 15  # 1 for the request, 3 to say goodbye, the rest for a busy machine
        assert answer.result(DEADLINE) in (0, 500, 503)


def test_lost_connections_are_made_again(folder: Path, cluster: Cluster) -> None:
    with serving(folder, environment(db__uri=cluster.start())) as server:
        ended = cluster.column(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pamps'"
        )
        assert len(ended) >= 2
        statuses = [server.status("/post/") for _ in range(10)]
        assert set(statuses) <= {200, 503}
        assert statuses[-1] == 200


def test_pamps_waits_for_a_database_that_is_not_up_yet(folder: Path, cluster: Cluster) -> None:
    uri = cluster.start()
    cluster.stop()
    with serving(folder, environment(db__uri=uri), ready=False) as server:
        server.wait_until(lambda: "waiting" in server.output)
        assert "serves on" not in server.output
        cluster.start()
        server.wait_until_ready()
        assert server.register("ada")


def test_pamps_does_not_wait_for_ever(folder: Path, cluster: Cluster) -> None:
    uri = cluster.start()
    cluster.stop()
    done = pamps("serve", "--port", "0", cwd=folder, env=environment(db__uri=uri, db__startup_timeout=1))
    assert (done.returncode, done.stdout) == (1, "")
    *waiting, line = done.stderr.splitlines()
    assert len(waiting) == 1
    assert line.startswith("the database can't be reached: ")
    assert cluster.uri.split(":")[2].split("@")[0] not in done.stderr


def test_in_production_a_schema_that_is_behind_waits_for_a_command(folder: Path) -> None:
    cluster = Cluster(folder / "new")
    env = environment(env="production", db__uri=cluster.start(), security__secret_key=STRONG_SECRET)
    try:
        with serving(folder, env, ready=False) as server:
            assert server.problem("/readyz") == (503, "schema-behind", "5")
            assert server.get("/readyz").json()["detail"].endswith("; run: pamps migrate")
            assert server.problem("/post/") == (503, "schema-behind", "5")
            migrated = pamps("migrate", cwd=folder, env=env)
            assert (migrated.returncode, migrated.stderr) == (0, "")
            assert (server.status("/readyz"), server.status("/post/")) == (200, 200)
    finally:
        cluster.leave()


def test_what_was_answered_201_is_there_after_a_kill(folder: Path, cluster: Cluster) -> None:
    env = environment(db__embedded_dir=cluster.directory)
    acknowledged: set[str] = set()
    with serving(folder, env) as server:
        ada = server.register("ada")

        def write(name: int) -> None:
            for number in range(100_000):
                try:
                    if server.publish(ada, f"{name}-{number}").status_code == 201:
                        acknowledged.add(f"{name}-{number}")
                except httpx2.TransportError:
                    return

        with ThreadPoolExecutor(4) as threads:
            writers = [threads.submit(write, name) for name in range(4)]
            until(lambda: len(acknowledged) > 100)
            server.process.kill()
            for writer in writers:
                writer.result(DEADLINE)
    with serving(folder, env) as server:
        assert acknowledged <= server.texts()
        assert server.register("bob")


def test_a_slow_client_holds_nobody_up(folder: Path, cluster: Cluster) -> None:
    with serving(folder, environment(db__uri=cluster.start())) as server:
        ada = server.register("ada")
        body = b'{"text": "slowly"}'
        head = (
            f"POST /post/ HTTP/1.1\r\nHost: x\r\nAuthorization: {ada['Authorization']}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        # More of them than there are connections to the database.
        clients = [socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1]))) for _ in range(20)]
        for client in clients:
            client.sendall(head.encode())
        for byte in body:
            for client in clients:
                client.sendall(bytes([byte]))
            assert server.status("/post/") == 200
        for client in clients:
            assert client.recv(65536).startswith(b"HTTP/1.1 201 ")
            client.close()
        assert len(server.get("/post/?limit=100").json()) == 20
