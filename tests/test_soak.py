"""The soak of the benchmark folder: that it tells what grows from what does not, and that it runs."""

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest
from rich.console import Console

from benchmarks import soak
from benchmarks.clients import WEIGHTS, Client, Outcomes
from benchmarks.processes import memory_mb
from benchmarks.servers import Server
from benchmarks.soak import Line, Soak, least_memory, line, told
from tests.processes import benchmark, short_folder, until

MEMORY = "memory, MB"


def sawtooth(slope: float, height: float) -> list[tuple[float, float]]:
    """100 MB that goes up and down by some, and rises by some in a minute, for five minutes."""
    return [(float(second), 100 + slope * second / 60 + height * (second % 20 / 20 - 0.5)) for second in range(300)]


@pytest.mark.parametrize(
    ("slope", "height", "flat"),
    [(0, 0, True), (0, 3, True), (-3, 3, True), (0.3, 3, True), (2, 0, False), (2, 3, False)],
)
def test_a_leak_is_told_from_what_goes_up_and_down(slope: float, height: float, flat: bool) -> None:
    found = line(sawtooth(slope, height))
    assert found.per_minute == pytest.approx(slope, abs=0.3)
    assert found.is_flat(soak.NOISE[MEMORY]) is flat
    assert told({("worker", MEMORY): found}, Console(quiet=True)) is flat


def test_of_little_a_little_more_is_no_growth() -> None:
    assert Line(1, 3, 0.4).is_flat(noise=2)
    assert not Line(1, 4, 0.6).is_flat(noise=2)


def test_what_is_taken_for_a_moment_and_given_back_does_not_count() -> None:
    again_and_again = (
        "from mmap import mmap\nwhile True:\n    with mmap(-1, 50_000_000) as taken: taken.write(bytes(50_000_000))"
    )
    with subprocess.Popen([sys.executable, "-c", again_and_again]) as process:
        try:
            until(lambda: memory_mb(process.pid) > 50, every=0)
            assert 1 < least_memory({"it": process.pid}, seconds=1)["it"] < 50
        finally:
            process.kill()


def test_an_answer_that_should_not_be_ends_it_at_once() -> None:
    class Broken(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_error(500)

    stop = Event()
    with HTTPServer(("127.0.0.1", 0), Broken) as server:
        Thread(target=server.handle_request).start()
        with pytest.raises(RuntimeError, match="POST /token was answered 500"):
            Client(server.server_port, "ada", 1, stop, Outcomes()).run()
    assert stop.is_set()
    Soak(Server(server.server_port, os.getpid(), Path()), uri="").watch(3600, stop)


def test_a_soak_runs_everything_and_looks_at_every_process() -> None:
    with short_folder() as folder:
        done = benchmark("soak", "--minutes", "0.05", "--warm-up", "0", "--directory", folder, cwd=folder)
        assert list(folder.iterdir()) == [], "it leaves something behind"
    # In so short a time anything may seem to grow.
    assert (done.returncode, done.stderr) in ((0, ""), (1, "something grows\n"))
    assert {what.split(":")[0] for what in done.stdout.splitlines()[0].split(", ")} <= WEIGHTS.keys()
    for shown in ("connections to the database", "parent", "child 3", *soak.NOISE):
        assert shown in done.stdout
