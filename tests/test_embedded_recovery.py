"""The embedded PostgreSQL after real kills: the next start joins what is left, or recovers it."""

import subprocess
import time
from pathlib import Path

import pytest

from pamps.embedded import running
from pamps.embedded.server import Server
from tests.embedded import DEADLINE, kill, owner_of_data, postmaster, query, server_is_up, start_user, user
from tests.root import IS_ROOT

pytest_plugins = "tests.embedded_fixtures"


def test_killed_postgres_is_recovered(copy: Path) -> None:
    with running(copy) as uri:
        query(uri, "CREATE TABLE kept AS SELECT 42 AS answer")
        kill(postmaster(copy), lambda: not server_is_up(copy))
        with running(copy) as again:
            assert query(again, "SELECT answer FROM kept") == 42
        assert query(uri, "SELECT answer FROM kept") == 42, "the first user is still one"
    assert not server_is_up(copy)


def test_postgres_that_is_killed_while_somebody_joins_it_is_recovered_by_them(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_database = Server.make_database

    def make_database_of_a_killed(server: Server) -> None:
        monkeypatch.undo()
        kill(postmaster(copy), lambda: not server_is_up(copy))
        make_database(server)

    monkeypatch.setattr(Server, "make_database", make_database_of_a_killed)
    with running(copy) as uri:
        assert query(uri, "SELECT 1") == 1
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
    bystander = subprocess.Popen(["sleep", "600"], user=owner_of_data() if IS_ROOT else None)
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
