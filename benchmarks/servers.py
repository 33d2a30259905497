"""What is measured, running: an embedded PostgreSQL of the benchmark's own, and the servers, all on loopback."""

import http.client
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.data import connected
from pamps import embedded
from pamps.db.drivers import asyncpg_uri

ROOT = Path(__file__).parent.parent
START_TIMEOUT = 60.0  # seconds
GIGABYTE = 2**30
HARDLY_A_LIMIT = "1000000000/minute"  # everything is counted as it would be, and nothing refused


@dataclass(frozen=True)
class Postgres:
    """A running PostgreSQL: how to reach it, and its first process."""

    uri: str
    pid: int


@dataclass(frozen=True)
class Server:
    """A running server: its port, the first of its processes, and the file with what it says."""

    port: int
    pid: int
    log: Path

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text()[-2000:].strip()


def settings_of_machine() -> dict[str, str]:
    """What a PostgreSQL that may have half of this machine's memory would be given; all else is as Pamps starts it."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "shared_buffers": f"{min(memory // 4, 8 * GIGABYTE) // 2**20}MB",
        "effective_cache_size": f"{memory // 2 // 2**20}MB",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "30min",
        "random_page_cost": "1.1",
        "max_connections": "200",
        "shared_preload_libraries": "pg_stat_statements",
        "pg_stat_statements.track": "none",  # until statements are counted, as it takes time itself
    }


@contextmanager
def postgres(directory: Path) -> Iterator[Postgres]:
    """The PostgreSQL in `directory`, made if it is not there, tuned for this machine."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with embedded.running(directory) as uri, connected(uri) as cursor:
        cursor.execute("ALTER SYSTEM RESET ALL")
        for name, value in settings_of_machine().items():
            cursor.execute(f"ALTER SYSTEM SET {name} = %s", [value])
    with embedded.running(directory) as uri:  # anew, as some of them only hold from a start on
        yield Postgres(uri, int((directory / "data" / "postmaster.pid").read_text().split()[0]))


def environment(**settings: str) -> dict[str, str]:
    """A bare environment: none of the settings around the benchmark leaks in."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), **settings}


def free_port() -> int:
    """A port that is free, and none of those that the system gives to connections, which may be taken again at once."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def uvicorn(app: str, port: int, workers: int) -> list[str]:
    """How the others are served: as `pamps serve` serves Pamps."""
    options = f"--port {port} --workers {workers} --loop uvloop --http httptools --no-access-log --log-level warning"
    return [sys.executable, "-m", "uvicorn", app, *options.split(), "--no-server-header"]


@contextmanager
def pamps(uri: str, secret: str, folder: Path, workers: int, name: str = "pamps", **settings: str) -> Iterator[Server]:
    """Pamps, as in production but for these settings; under another name it reads each answer anew."""
    port = free_port()
    env = environment(
        PAMPS_ENV="production",
        PAMPS_DB__uri=uri,
        PAMPS_SECURITY__secret_key=secret,
        **({} if name == "pamps" else {"PAMPS_SERVER__coalesce": "false", "PAMPS_SERVER__kept_megabytes": "0"}),
        **{f"PAMPS_LIMITS__{kind}": HARDLY_A_LIMIT for kind in ("sign_up", "sign_in", "write", "read", "search")},
        **settings,
    )
    command = [sys.executable, "-m", "pamps", "serve", "--port", str(port), "--workers", str(workers)]
    with running(name, command, env, folder, port, "/readyz") as server:
        yield server


@contextmanager
def textbook(uri: str, secret: str, folder: Path, workers: int) -> Iterator[Server]:
    """The textbook twin, over the same database."""
    port = free_port()
    url = asyncpg_uri(uri).replace("postgresql://", "postgresql+psycopg2://")
    env = environment(TEXTBOOK_DATABASE_URL=url, TEXTBOOK_SECRET_KEY=secret)
    command = [*uvicorn("benchmarks.textbook.main:app", port, workers), "--lifespan", "off"]
    with running("textbook", command, env, folder, port, "/post/") as server:
        yield server


@contextmanager
def ceiling(name: str, size: int, folder: Path, workers: int) -> Iterator[Server]:
    """A constant answer of so many bytes: `bare` ASGI, or `through_fastapi`."""
    port = free_port()
    command = [*uvicorn(f"benchmarks.ceiling:{name}", port, workers), "--lifespan", "off"]
    with running(name, command, environment(CEILING_BYTES=str(size)), folder, port, "/") as server:
        yield server


@contextmanager
def running(
    name: str, command: list[str], env: dict[str, str], folder: Path, port: int, ready: str
) -> Iterator[Server]:
    """A server in a process of its own, once it answers on `ready`; what it says goes to a file in `folder`."""
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + START_TIMEOUT
        while not answers(port, ready):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not start: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield Server(port, process.pid, log)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
