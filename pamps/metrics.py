"""What is counted, for Prometheus: by each server process for itself, and added up for whoever asks.

`pamps serve` makes a directory, in which each process has its figures in files; prometheus_client adds up what it finds
there. It has to be in the environment before prometheus_client is imported, so this is imported only then, and only
where metrics are wanted. Without a directory, under another server than `pamps serve`, each process tells of itself.
"""

import asyncio
import math
import os
import re
from collections import Counter as Counts
from collections.abc import Iterable
from functools import partial
from itertools import count
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, ProcessCollector
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from pamps import __version__
from pamps.db.database import Database
from pamps.errors import PampsError
from pamps.kept import KeepingDatabase
from pamps.queries import health

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)  # seconds
BETWEEN_LOOKS = 1.0  # seconds
LOOKS_AT_MAIL = 15  # every so many looks, since it takes a statement
OF_A_PROCESS = re.compile(r"gauge_live\w+_(\d+)\.db")


class Metrics:
    """The figures of this process.

    How many labels there may be is bounded: by the routes, methods, statuses and codes that there are. An address that
    has no route is of the route `none`, an unusual method `OTHER`, and an answer that was never begun of status 0. What
    a connection refuses before it is a request is of the method `OTHER` and the route `none`.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.in_flight = 0
        self.requests = Histogram(
            "pamps_request_seconds",
            "How long requests took, and with _count how many there were.",
            ["method", "route", "status"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.problems = Counter(
            "pamps_problems",
            "Requests that were refused, by their problem's code.",
            ["code"],
            registry=self.registry,
        )
        self.known: dict[tuple[str | None, str | None, int | None], Histogram] = {}
        self.now = self.gauge("pamps_requests_in_flight", "Requests that are being answered.")
        self.idle = self.gauge("pamps_pool_idle", "Connections to the database that wait for work.")
        self.busy = self.gauge("pamps_pool_busy", "Connections to the database that are at work, or being made.")
        self.waiting = self.gauge("pamps_pool_waiting", "Requests that wait for a connection to the database.")
        self.kept = self.gauge("pamps_kept_answers", "Answers that are kept, to be given again if they still hold.")
        self.kept_asked = Counter(
            *("pamps_kept_answers_asked", "Kept answers that were asked for: given again, or changed meanwhile."),
            ["outcome"],
            registry=self.registry,
        )
        self.mail = Gauge(
            *("pamps_mail_waiting", "Mails in the queue; NaN while the database is away."),
            registry=self.registry,
            multiprocess_mode="livemostrecent",
        )
        Gauge(
            *("pamps_info", "The version; always 1.", ["version"]),
            registry=self.registry,
            multiprocess_mode="livemax",
        ).labels(__version__).set(1)

    def gauge(self, name: str, help: str) -> Gauge:
        return Gauge(name, help, registry=self.registry, multiprocess_mode="livesum")

    def answered(
        self, method: str | None, route: str | None, status: int | None, code: str | None, seconds: float
    ) -> None:
        """Count a request."""
        key = (method, route, status)
        timing = self.known.get(key)
        if timing is None:
            labels = (method if method and method in METHODS else "OTHER", route or "none", str(status or 0))
            timing = self.known[key] = self.requests.labels(*labels)
        timing.observe(seconds)
        if code:
            self.problems.labels(code).inc()

    async def keep_looking(self, database: Database) -> None:
        """Take down again and again what is so at the moment."""
        counted: Counts[str] = Counts()
        for look in count():
            pool = database.pool
            idle = len(pool.idle) if pool else 0
            self.now.set(self.in_flight)
            self.idle.set(idle)
            self.busy.set(pool.size - idle if pool else 0)
            self.waiting.set(len(pool.waiting) if pool else 0)
            if isinstance(database, KeepingDatabase):
                self.kept.set(len(database.answers))
                for outcome, number in (database.outcomes - counted).items():
                    self.kept_asked.labels(outcome).inc(number)
                counted = database.outcomes.copy()
            if look % LOOKS_AT_MAIL == 0:
                self.mail.set(await mail_waiting(database))
            await asyncio.sleep(BETWEEN_LOOKS)


async def mail_waiting(database: Database) -> float:
    try:
        row = await database.row(health.mail_waiting)
    except PampsError:
        return math.nan
    return float(row["waiting"]) if row else math.nan


class Processes(Collector):
    """Memory, processor time and open files of each server process, from /proc; none on systems without it.

    What a process that has died left of its own present is removed. What it has counted stays.
    """

    def __init__(self, directory: str | None):
        self.directory = directory

    def alive(self) -> list[int]:
        """The ids of those that count."""
        if self.directory is None:
            return [os.getpid()]
        files = (OF_A_PROCESS.fullmatch(path.name) for path in Path(self.directory).iterdir())
        found = []
        for pid in sorted({int(file[1]) for file in files if file}):
            if lives(pid):
                found.append(pid)
            else:
                mark_process_dead(pid, self.directory)  # type: ignore[no-untyped-call]
        return found

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for pid in self.alive():
            of_one = ProcessCollector(namespace="pamps", pid=partial(str, pid), registry=None)
            for metric in of_one.collect():
                family = families.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
                for sample in metric.samples:
                    family.add_sample(sample.name, {"pid": str(pid)}, sample.value)
        return families.values()


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another account's
        return True
    return True


def of_all(own: Metrics | None = None) -> CollectorRegistry:
    """What to answer with: the figures of all server processes, or without a directory those of this one."""
    directory = os.environ.get(DIRECTORY)
    registry = own.registry if own and not directory else CollectorRegistry()
    registry.register(Processes(directory))  # before what it removes is read
    if directory:
        MultiProcessCollector(registry, directory)  # type: ignore[no-untyped-call]
    return registry
