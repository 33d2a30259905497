"""Serving: an address, the database, its schema, then uvicorn, and a clean end."""

import asyncio
import errno
import logging.config
import multiprocessing
import os
import shlex
import shutil
import signal
import socket
import sys
import threading
from multiprocessing import resource_tracker
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from rich.console import Console
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import ChangeReload, Multiprocess

import pamps
from pamps import logs, startup
from pamps.app import create_app
from pamps.commands.measuring import measured
from pamps.config import Settings
from pamps.connections.connection import Connections
from pamps.connections.files import open_all_files
from pamps.errors import ConfigurationError, PampsError
from pamps.loading import current_settings

log = logging.getLogger("pamps")
# Seconds that a server process may say nothing before it is killed and replaced. By uvicorn's five, one that takes
# longer to start, on a machine that is busy, would be killed again and again and never serve.
SILENCE = 60
AT_ONCE = 16  # connections that a server process accepts in one turn of its loop
BACKLOG = 2048  # connections that wait to be accepted, as many as uvicorn has
# What a name such as localhost may stand for and this machine may not have: IPv6, most of all.
NOT_HERE = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def serve(host: str | None, port: int | None, workers: int | None, reload: bool) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are finished, then the embedded database is stopped.

    What is None comes from the settings. Raises ConfigurationError, EmbeddedError, DatabaseUnavailable, SchemaBehind.
    """
    # Until uvicorn takes the signals over, and again when it is done: end in order, with exit code 0.
    signal.signal(signal.SIGTERM, leave)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # the terminal is closed, and we are not under nohup
        signal.signal(signal.SIGHUP, pass_on_hangup)
    settings = current_settings()
    logging.config.dictConfig(logs.configuration(settings))
    host, port = host or settings.server.host, settings.server.port if port is None else port
    open_all_files()
    sockets = listen(host, port)  # first of all: a port that is taken should cost nobody a database
    startup.with_secret(settings)  # made once, before several workers want it
    with measured(settings), startup.database(settings) as uri:
        if settings.auto_migrate:
            startup.wait_for_database(uri, settings)
            startup.migrate(uri)
        greet(settings, host, sockets[0].getsockname()[1])
        run(configuration(settings, workers or settings.server.workers, reload), often(sockets))


def configuration(settings: Settings, workers: int, reload: bool) -> uvicorn.Config:
    return uvicorn.Config(
        "pamps.commands.serve:application",
        factory=True,
        workers=workers,
        reload=reload,
        reload_dirs=[str(Path(pamps.__file__).parent)] if reload else None,
        loop="uvloop",
        http=Connections(settings.server),  # type: ignore[arg-type]
        timeout_keep_alive=settings.server.keep_alive_timeout,
        server_header=False,
        # Always said: uvicorn alone would believe whoever connects from this machine.
        proxy_headers=bool(settings.server.trusted_proxies),
        forwarded_allow_ips=list(settings.server.trusted_proxies),
        access_log=False,  # watching.py writes a line for each request
        log_config=logs.configuration(settings),
        timeout_worker_healthcheck=SILENCE,
        timeout_graceful_shutdown=settings.server.shutdown_timeout,
    )


class Parent(Multiprocess):
    """uvicorn's, which else waits for the whole of SILENCE for an answer from a server process that has ended."""

    def keep_subprocess_alive(self) -> None:
        for process in self.processes:
            process.child_conn.close()  # ours, of the two that hold the pipe open
        super().keep_subprocess_alive()


def run(config: uvicorn.Config, sockets: list[socket.socket]) -> None:
    """Run uvicorn as it runs itself, on sockets of ours. Raises PampsError if a server process can't start."""
    failed = False
    try:
        if config.should_reload:
            hold_interrupts()
            ChangeReload(config, uvicorn.Server(config).run, sockets).run()
        elif config.workers > 1:
            hold_interrupts()
            parent = Parent(config, sockets)
            parent.run()
            failed = any(process.exitcode == STARTUP_FAILURE for process in parent.processes)
        else:
            uvicorn.Server(config).run(sockets)
    except KeyboardInterrupt:
        pass
    except SystemExit as end:
        failed = end.code == STARTUP_FAILURE
    if failed:
        raise PampsError("a server process could not start; what it said stands above")


def hold_interrupts() -> None:
    """From here on, Ctrl-C is a SIGTERM to us, and server processes start with it held back.

    A terminal sends it to them too, and while they still import what they need they would end with a traceback.
    """
    resource_tracker.ensure_running()  # unblocks SIGINT, and is started with the first process if not before
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def pass_on() -> None:
        while True:
            signal.sigwait({signal.SIGINT})
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=pass_on, daemon=True).start()


def application() -> FastAPI:
    """The application of a server process, made in its loop when uvicorn has taken over the signals: let go of Ctrl-C.

    If it has been started by a parent, it does not go on without it, which would keep the port.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if parent := multiprocessing.parent_process():
        # The end of a pipe that nobody writes to: it can be read when the other end is gone, however the parent ended.
        asyncio.get_running_loop().add_reader(parent.sentinel, end_alone, parent.sentinel)
    return create_app()


def end_alone(sentinel: int) -> None:
    """End in order, as the parent would have asked for if it hadn't been killed."""
    asyncio.get_running_loop().remove_reader(sentinel)
    log.warning("the process that started this one is gone; this one ends, too")
    os.kill(os.getpid(), signal.SIGTERM)


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen at every address of a host. Raises ConfigurationError.

    Whoever connects before the service is up waits for it.
    """

    def refused(error: OSError | UnicodeError) -> ConfigurationError:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return ConfigurationError(
            f"can't listen on {host} port {port}: {reason.lower()}; --host and --port name another"
        )

    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that can't be one
        raise refused(error) from None
    sockets: list[socket.socket] = []
    missing = OSError()
    for family, _, _, _, address in dict.fromkeys(found):
        if sockets and port == 0:
            break  # elsewhere it would be another port
        try:
            sockets.append(listener(family, address))
        except OSError as error:
            missing = error
            if error.errno not in NOT_HERE:
                raise refused(error) from None
    if not sockets:
        raise refused(missing)
    return sockets


def often(sockets: list[socket.socket]) -> list[socket.socket]:
    """The same sockets again and again, since of each libuv accepts one connection in a turn of the loop (since 1.45).

    Whoever comes while turns are long, because there is more to do than can be done, would wait for as many of them
    as others have come before, to be told no more than that.
    """
    return [one.dup() for one in sockets for _ in range(AT_ONCE - 1)] + sockets


def listener(family: int, address: Any) -> socket.socket:
    found = socket.socket(family)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        found.bind(address)
        found.listen(BACKLOG)
    except OSError:
        found.close()
        raise
    return found


def leave(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


def pass_on_hangup(number: int, frame: FrameType | None) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def greet(settings: Settings, host: str, port: int) -> None:
    """Say where everything is: to people; a program that reads the log has its line."""
    everywhere = host in ("0.0.0.0", "::")  # nosec B104 # only to be seen: what the settings say is bound to
    host = "127.0.0.1" if everywhere else f"[{host}]" if ":" in host else host
    base = f"http://{host}:{port}"
    if settings.log_as_json:
        log.info("Pamps serves on %s", base)
        return
    data = "the database that db.uri names" if settings.db.uri else str(settings.db.directory)
    console = Console(stderr=True, highlight=False)
    console.print(f"Pamps serves on [bold]{base}[/bold]", soft_wrap=True)
    console.print(f"  the API page    {base}/docs", soft_wrap=True)
    console.print(f"  the data        {data}", soft_wrap=True, markup=False)
    console.print(f"  the first user  {typed()} adduser you@example.com you", soft_wrap=True, markup=False)


def typed() -> str:
    """What to type for this `pamps`: its name alone, where a shell would find the same one by it."""
    program = sys.argv[0]
    if Path(program).name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m pamps"
    found = shutil.which("pamps")
    if found and os.path.realpath(found) == os.path.realpath(program):
        return "pamps"
    below = os.path.relpath(program)  # from the folder that this terminal is in
    return shlex.quote(below if "/" in below and not below.startswith("..") else str(Path(program).absolute()))
