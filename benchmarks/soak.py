"""`./benchmarks/soak`: some minutes of everything that clients do, well-behaved and not, and a look for what grows."""

import math
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, linear_regression
from threading import Event
from typing import Annotated, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import command, processes, servers
from benchmarks.clients import Client, Outcomes, register
from benchmarks.command import DIRECTORY
from benchmarks.data import connected
from pamps import startup

CLIENTS, WORKERS = 32, 2
SAMPLES = 200
LOOK = 0.03  # seconds between two looks at the memory; a password's hash takes about as long
GROWTH = 1.02  # of the line's end to its start; more is not flat
# Nor is more than so much: what a line that is fitted to noise may rise by.
NOISE = {"memory, MB": 1.0, "descriptors": 4.0, "sockets": 4.0, "connections to the database": 2.0}
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pamps'"

Series = dict[tuple[str, str], list[tuple[float, float]]]  # by process and by what is measured: seconds and values


class Line(NamedTuple):
    """What a series comes to: a line through it, at its two ends, and how it rises in a minute."""

    start: float
    end: float
    per_minute: float

    @property
    def ratio(self) -> float:
        return self.end / self.start if self.start else 1.0

    def is_flat(self, noise: float) -> bool:
        return self.ratio <= GROWTH or self.end - self.start <= noise


def line(points: list[tuple[float, float]]) -> Line:
    """The line with the least squares."""
    times, values = zip(*points, strict=True)
    slope, at_zero = linear_regression(times, values) if len(set(times)) > 1 else (0.0, fmean(values))
    return Line(at_zero + slope * times[0], at_zero + slope * times[-1], slope * 60)


@dataclass
class Soak:
    """A server under load, and what was seen of it."""

    server: servers.Server
    uri: str
    series: Series = field(default_factory=dict)

    def members(self) -> dict[str, int]:
        """The processes by name: the one that was started, and those under it in the order they came."""
        first, *others = sorted(processes.family(self.server.pid))
        return {"parent": first, **{f"child {number}": pid for number, pid in enumerate(others, 1)}}

    def sample(self, seconds: float, memory: dict[str, float]) -> None:
        """Look at everything; at the descriptors of all together, as who connects again may come to another worker."""
        descriptors = [one for pid in self.members().values() for one in processes.descriptors(pid)]
        found = {
            ("all", "connections to the database"): float(connections(self.uri)),
            ("all", "descriptors"): float(len(descriptors)),
            ("all", "sockets"): float(sum(one.startswith("socket:") for one in descriptors)),
            **{(name, "memory, MB"): least for name, least in memory.items()},
        }
        for key, value in found.items():
            self.series.setdefault(key, []).append((seconds, value))

    def watch(self, seconds: float, stop: Event) -> None:
        """Look at everything again and again, until told to stop. Raises RuntimeError where a process is lost."""
        begun, there = time.monotonic(), self.members()
        while (passed := time.monotonic() - begun) < seconds and not stop.is_set():
            memory = least_memory(there, max(0.2, seconds / SAMPLES))
            if self.members() != there:
                raise RuntimeError(f"the processes are not what they were: {self.server.said()}")
            self.sample(passed, memory)

    def lines(self) -> dict[tuple[str, str], Line]:
        """A line for each series."""
        return {key: line(points) for key, points in self.series.items()}


def least_memory(members: dict[str, int], seconds: float) -> dict[str, float]:
    """The least that each process has within some time, in MB: what it has between two hashes of passwords.

    Each hash takes 19 MB and gives them back; a line through such peaks tells how many there were, not what stays.
    """
    found, until = dict.fromkeys(members, math.inf), time.monotonic() + seconds
    while time.monotonic() < until:
        for name, pid in members.items():
            found[name] = min(found[name], processes.memory_mb(pid))
        time.sleep(LOOK)
    return found


def connections(uri: str) -> int:
    with connected(uri) as cursor:
        cursor.execute(CONNECTIONS)
        (found,) = cursor.fetchone() or (0,)
        return int(found)


def told(lines: dict[tuple[str, str], Line], console: Console) -> bool:
    """Show the lines: whether all of them are flat."""
    table = Table("process", "what", "start", "end", "end/start", "in a minute", "")
    flat = True
    for (process, what), found in lines.items():
        good = found.is_flat(NOISE[what])
        flat = flat and good
        numbers = (f"{found.start:.1f}", f"{found.end:.1f}", f"{found.ratio:.3f}", f"{found.per_minute:+.3f}")
        table.add_row(process, what, *numbers, "flat" if good else "[red]GROWS[/red]")
    console.print(table)
    return flat


@contextmanager
def served(directory: Path, kept_megabytes: int) -> Iterator[tuple[servers.Server, str]]:
    """Pamps on a database of its own, which is thrown away in the end."""
    directory.mkdir(parents=True, exist_ok=True)
    here = Path(tempfile.mkdtemp(prefix="soak-", dir=directory))
    here.chmod(0o755)  # the account that PostgreSQL has under root must come through
    try:
        with servers.postgres(here / "db") as postgres:
            startup.migrate(postgres.uri)
            kept = {"PAMPS_SERVER__kept_megabytes": str(kept_megabytes)}
            with servers.pamps(postgres.uri, secrets.token_urlsafe(48), here, WORKERS, **kept) as server:
                yield server, postgres.uri
    finally:
        shutil.rmtree(here)


def soak(
    minutes: Annotated[float, typer.Option(min=0.05, help="How long it is looked at.")] = 3.0,
    warm_up: Annotated[
        float, typer.Option(min=0, help="Minutes before that, in which what is kept becomes full.")
    ] = 5.0,
    kept_megabytes: Annotated[int, typer.Option(min=0, help="server.kept_megabytes; 8 take ten minutes to fill.")] = 1,
    directory: Annotated[Path, typer.Option(help="Where the database is made, and removed again.")] = DIRECTORY,
) -> None:
    """Load Pamps with everything that clients do, and say whether its processes grow. The exit code is 1 if they do."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    for name in [name for name in os.environ if name.startswith("PAMPS_")]:
        del os.environ[name]  # what is set for a Pamps around here is not meant for this one
    stop, outcomes = Event(), Outcomes()
    with served(directory, kept_megabytes) as (server, uri), ThreadPoolExecutor(CLIENTS) as threads:
        people = [register(server.port, f"soaked{number}") for number in range(CLIENTS)]
        clients = [Client(server.port, name, seed, stop, outcomes) for seed, name in enumerate(people)]
        running = [threads.submit(client.run) for client in clients]
        try:
            stop.wait(warm_up * 60)
            watched = Soak(server, uri)
            watched.watch(minutes * 60, stop)
        finally:
            stop.set()
        for one in running:
            one.result()
    console.print(", ".join(f"{what}: {count:,}" for what, count in sorted(outcomes.counts.items())), highlight=False)
    if not told(watched.lines(), console):
        raise RuntimeError("something grows")


if __name__ == "__main__":
    command.run(soak)
