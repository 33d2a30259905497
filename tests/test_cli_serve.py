"""`pamps serve`: its address, its processes, its signals, and the embedded database under it."""

import asyncio
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import uvicorn
import uvloop

from pamps.commands.serve import AT_ONCE, NOT_HERE, listen, often, run, typed
from pamps.errors import ConfigurationError, PampsError
from tests.checkout import ROOT
from tests.commands import Commands
from tests.locks import WAITING
from tests.processes import environment, serving, short_folder, until
from tests.terminal import terminal

pytest_plugins = "tests.command_fixtures"

COULD_NOT_START = "a server process could not start; what it said stands above"
FAILED = "Application startup failed. Exiting."  # uvicorn's, below what failed


@pytest.fixture(scope="module")
def embedded() -> Iterator[Commands]:
    """On an embedded database that has been made, and isn't running."""
    with short_folder() as folder:
        commands = Commands.embedded(folder)
        commands("migrate")
        yield commands


@pytest.fixture
def own_source(pamps: Commands) -> Commands:
    """With a copy of the source that may be changed."""
    shutil.copytree(ROOT / "pamps", pamps.folder / "pamps")
    return pamps


def with_own_source(pamps: Commands) -> dict[str, str]:
    return pamps.environment() | {"PYTHONPATH": str(pamps.folder)}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_request_in_flight_is_finished_before_the_server_ends(pamps: Commands, workers: str) -> None:
    with serving(pamps.folder, pamps.environment(), "--workers", workers) as server, ThreadPoolExecutor() as threads:
        ada = server.register("ada")
        with closing(psycopg2.connect(pamps.uri)) as connection, connection.cursor() as cursor:
            cursor.execute("LOCK TABLE post")
            answer = threads.submit(server.publish, ada, "not cut off")
            until(lambda: pamps.sql(WAITING))
            server.process.send_signal(signal.SIGTERM)
            server.wait_until(lambda: "Shutting down" in server.output)
            assert not answer.done()
        assert answer.result().status_code == 201
        assert server.process.wait(30) == 0
    assert pamps.sql("SELECT text FROM post") == [("not cut off",)]


def test_a_server_process_imports_nothing_that_only_commands_and_metrics_need() -> None:
    unneeded = ("alembic", "mako", "typer", "psycopg2", "zxcvbn", "prometheus_client")
    code = (
        "import sys, pamps.commands.serve as serve; serve.create_app(); serve.startup.schema.head();"
        f"print([name for name in {unneeded} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, check=True)
    assert done.stdout == b"[]\n"


def test_ctrl_c_ends_it_quietly(pamps: Commands) -> None:
    with terminal("serve", "--port", "0", cwd=pamps.folder, env=pamps.environment()) as there:
        there.shows("Application startup complete")
        there.type("\x03")
        assert there.end() == 0
        assert there.complaints == []


@pytest.mark.parametrize("arguments", [("--workers", "2"), ("--reload",)])
def test_ctrl_c_ends_it_quietly_while_its_processes_start(pamps: Commands, arguments: tuple[str, ...]) -> None:
    def children() -> bool:
        listed = subprocess.run(["ps", "-Aww", "-o", "ppid=,args="], capture_output=True, text=True, check=True)
        processes = [line.split(None, 1) for line in listed.stdout.splitlines()]
        return any(parent == str(there.process.pid) and "spawn_main" in command for parent, command in processes)

    here = pamps.environment()
    with terminal("serve", "--port", "0", *arguments, cwd=pamps.folder, env=here, fresh=True) as there:
        until(children)
        there.type("\x03")
        assert there.end() == 0
        assert there.complaints == []


def test_it_says_what_to_type_for_the_first_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("its own", "another"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pamps").touch(0o755)
    own = tmp_path / "its own" / "pamps"
    monkeypatch.setattr(sys, "argv", [str(own), "serve"])
    said: dict[str, str] = {}
    for path in ("its own", "another", "nowhere"):
        monkeypatch.setenv("PATH", str(tmp_path / path))
        said[path] = typed()
    assert said == {"its own": "pamps", "another": f"'{own}'", "nowhere": f"'{own}'"}
    for folder, near in ((tmp_path, "'its own/pamps'"), (own.parent, f"'{own}'")):
        monkeypatch.chdir(folder)
        assert typed() == near
    monkeypatch.setattr(sys, "argv", ["/somewhere/pamps/__main__.py", "serve"])
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    assert typed() == "/usr/bin/python3 -m pamps"


def test_a_port_that_is_taken_is_one_line_and_costs_nobody_a_database(pamps: Commands) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = pamps.refused("serve", "--port", str(port), db__uri="", db__embedded_dir=pamps.folder / "db")
    assert said == f"can't listen on 127.0.0.1 port {port}: address already in use; --host and --port name another"
    assert list(pamps.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("host", "reason"),
    [("192.0.2.1", "cannot assign requested address"), ("x" * 64, ""), ("::x", "")],
)
def test_an_address_that_is_not_ours_is_said(host: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^can't listen on {host} port 8000: {reason}.*--host and --port"):
        listen(host, 8000)


def test_a_port_that_cannot_be_is_a_wrong_command_line(pamps: Commands) -> None:
    assert pamps.refused("serve", "--port", "65536", code=2).startswith("Invalid value for '--port': ")


def test_it_listens_at_every_address_of_a_name() -> None:
    (probe,) = listen("127.0.0.1", 0)
    port = probe.getsockname()[1]
    probe.close()
    sockets = listen("localhost", port)
    try:
        for family, _, _, _, address in socket.getaddrinfo("localhost", port, type=socket.SOCK_STREAM):
            with socket.socket(family) as client:
                # There may be no IPv6 here, and localhost still stands for its address.
                assert client.connect_ex(address) in (0, *NOT_HERE)
        assert socket.AF_INET in [each.family for each in sockets]
    finally:
        for each in sockets:
            each.close()


def test_who_waits_to_be_accepted_waits_for_few_turns_of_the_loop() -> None:
    """By a single listening socket each turn of libuv's loop accepts one connection."""
    come = 3 * AT_ONCE
    accepted: list[asyncio.BaseTransport] = []

    class Noted(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted.append(transport)

    async def turns() -> int:
        sockets = often(listen("127.0.0.1", 0))
        servers = [await asyncio.get_running_loop().create_server(Noted, sock=each) for each in sockets]
        clients = [socket.create_connection(sockets[0].getsockname()) for _ in range(come)]
        turn = 0
        while len(accepted) < come:
            turn += 1
            await asyncio.sleep(0)
        ended: list[Any] = [*servers, *accepted, *clients]
        for each in ended:
            each.close()
        return turn

    assert uvloop.run(turns()) < come / 2


def test_all_server_processes_and_commands_share_the_embedded_database(embedded: Commands) -> None:
    directory = embedded.settings["db__embedded_dir"]
    with serving(embedded.folder, embedded.environment(), "--workers", "2") as server:
        server.wait_until(lambda: server.output.count("Application startup complete") == 2)
        assert f"  the data        {directory}\n" in server.output
        added = embedded("adduser", "ada@example.com", "ada", "correct horse battery")
        assert added == "Added user 1: ada, ada@example.com\n"
        assert {server.get("/user/ada/").status_code for _ in range(20)} == {200}
        assert (directory / "data/postmaster.pid").exists()
        assert server.stop() == 0
    assert not (directory / "data/postmaster.pid").exists()
    assert "\tada\t" in embedded("user-list")  # which starts it for its own time
    assert not (directory / "data/postmaster.pid").exists()


def test_closing_the_terminal_stops_the_server_and_its_database(embedded: Commands) -> None:
    directory = embedded.settings["db__embedded_dir"]
    with terminal("serve", "--port", "0", cwd=embedded.folder, env=embedded.environment()) as there:
        there.shows("Application startup complete")
        assert (directory / "data/postmaster.pid").exists()
        there.hang_up()
        there.process.wait(30)
    assert not (directory / "data/postmaster.pid").exists()


def test_a_change_of_the_source_starts_it_again(own_source: Commands) -> None:
    with serving(own_source.folder, with_own_source(own_source), "--reload") as server:
        version = own_source.folder / "pamps/__init__.py"
        version.write_text(version.read_text().replace('__version__ = "', '__version__ = "changed-'))
        server.wait_until(lambda: server.get("/openapi.json").json()["info"]["version"].startswith("changed-"))
        assert server.stop() == 0


def test_a_server_process_that_cannot_start_ends_them_all(own_source: Commands) -> None:
    with (own_source.folder / "pamps/app.py").open("a") as app:
        app.write('\n\n@asynccontextmanager\nasync def lifespan(app):\n    raise RuntimeError("no")\n    yield\n')
    with serving(own_source.folder, with_own_source(own_source), "--workers", "2", ready=False) as server:
        assert server.process.wait(60) == 1
        assert server.output.endswith(f"{COULD_NOT_START}\n")
        (child,) = re.findall(r"Child process \[\d+\]", server.output)
        stopping = f"{child} failed to start, stopping the parent process."
        server.expected = {"Traceback (most recent call last):", FAILED, stopping}


def test_what_keeps_a_server_process_from_its_database_is_one_line(own_source: Commands) -> None:
    with (own_source.folder / "pamps/app.py").open("a") as app:
        app.write(
            "\n\n@asynccontextmanager\nasync def lifespan(app):\n"
            "    raise EmbeddedError('the disk is full')\n    yield\n"
        )
    with serving(own_source.folder, with_own_source(own_source), ready=False) as server:
        assert server.process.wait(60) == 1
        server.expected = {"the disk is full", FAILED}


def test_a_server_that_cannot_start_says_so() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("no")

    with pytest.raises(PampsError, match=COULD_NOT_START):
        run(uvicorn.Config(app, lifespan="on", log_config=None), [])
