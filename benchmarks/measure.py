"""The measuring: every candidate for every case, in turn, round after round."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from benchmarks import load, processes, servers
from benchmarks.case import Case, Request
from benchmarks.ground import Ground
from benchmarks.load import Load, LoadError
from benchmarks.servers import Postgres, Server

# The ceilings answer every case alike, so they are measured once a round, as a case of their own.
CONSTANT = Case("constant", "a constant answer", lambda place: [Request("GET", "/")], None)
CEILINGS = ("asgi", "fastapi")
# `apart` is Pamps that reads each answer anew (nothing answered together, nothing kept), where it may do otherwise;
# with other numbers of workers too, at the cases that tell what a worker more is worth.
WORKERS = 2
APART = {"apart": WORKERS, "apart-1": 1, "apart-4": 4}
CANDIDATES = ("pamps", *APART, "pgbench", *CEILINGS, "textbook")
WARM_UP = 2  # seconds
COUNTED = 20  # requests of which the statements are counted


@dataclass(frozen=True)
class Measure:
    """One candidate at one case in one round; times of processors in microseconds a request."""

    rate: float  # requests a second; 0 if none was answered while the load lasted
    p50_ms: float | None
    p99_ms: float | None
    app_us: float | None
    database_us: float | None


@dataclass
class Results:
    """All that was measured: by case and candidate a measure for each round, and what is measured once."""

    measures: dict[str, dict[str, list[Measure]]] = field(default_factory=dict)
    statements: dict[str, dict[str, float]] = field(default_factory=dict)
    worker_mb: dict[str, list[float]] = field(default_factory=dict)  # after each round

    def add(self, case: str, candidate: str, measure: Measure) -> None:
        self.measures.setdefault(case, {}).setdefault(candidate, []).append(measure)


@dataclass(frozen=True)
class Bench:
    """Everything that runs: the database, the servers by candidate, and how much load there is to be."""

    ground: Ground
    postgres: Postgres
    programs: Path
    servers: dict[str, Server]
    tokens: dict[int, str]
    folder: Path
    smoke: bool

    def plan(self, cases: list[Case], candidates: list[str]) -> Iterator[tuple[Case, str]]:
        """What there is to measure in a round."""
        for case in [CONSTANT, *cases]:
            for candidate in candidates:
                if takes(case, candidate):
                    yield case, candidate

    def load(self, case: Case, candidate: str, seconds: int) -> Load:
        place = self.ground.place
        if candidate == "pgbench":
            assert case.script
            amount = {"transactions": 2, "clients": 4} if self.smoke else {"seconds": seconds}
            return load.pgbench(self.programs, self.postgres.uri, case.script(place), self.folder, **amount)
        requests = case.requests_for(candidate, place)
        port = self.servers[candidate].port
        if self.smoke:
            return load.plain(port, requests, self.tokens, 5)
        return load.wrk(port, requests, self.tokens, self.folder, seconds)

    def measure(self, case: Case, candidate: str, seconds: int) -> Measure:
        """One load, with what it took; then what it wrote is taken away again."""
        server = self.servers.get(candidate)
        app, database = cpu(server), cpu(self.postgres)
        try:
            found = self.load(case, candidate, seconds)
        except LoadError as error:
            raise LoadError(f"{candidate}, {case.title}: {error}\n{server.said() if server else ''}") from None
        spent = [
            None if before is None or after is None or not found.requests else (after - before) / found.requests * 1e6
            for before, after in ((app, cpu(server)), (database, cpu(self.postgres)))
        ]
        self.ground.settle()
        self.ground.restore(case)
        return Measure(found.requests / found.seconds, found.p50_ms, found.p99_ms, *spent)

    def count_statements(self, case: Case, candidate: str) -> float:
        """How many statements a request takes, transaction control included."""
        requests = case.requests_for(candidate, self.ground.place)
        port = self.servers[candidate].port
        before = self.ground.statements()
        load.plain(port, requests, self.tokens, COUNTED)
        found = (self.ground.statements() - before) / COUNTED
        self.ground.restore(case)
        return found


def cpu(running: Server | Postgres | None) -> float | None:
    return processes.cpu_seconds(running.pid) if running else None


def takes(case: Case, candidate: str) -> bool:
    """Whether a candidate has something to do in a case."""
    if case is CONSTANT or candidate in CEILINGS:
        return case is CONSTANT and candidate in CEILINGS
    if candidate == "pgbench":
        return case.script is not None
    if candidate in APART:
        return case.by_workers or (case.shared and candidate == "apart")
    return case.in_textbook or candidate != "textbook"


def with_something_to_do(candidates: list[str], cases: list[Case]) -> list[str]:
    """Those of the candidates that take part in a case; the others need not be started."""
    return [candidate for candidate in candidates if any(takes(case, candidate) for case in [CONSTANT, *cases])]


@contextmanager
def bench(
    ground: Ground, postgres: Postgres, programs: Path, candidates: list[str], folder: Path, smoke: bool
) -> Iterator[Bench]:
    """Start the servers that the candidates need, and stop them in the end. Pamps' list is as large as the constant."""
    workers = 1 if smoke else WORKERS
    with ExitStack() as stack:
        found: dict[str, Server] = {}
        secret, uri = ground.security.secret_key, postgres.uri
        if "pamps" in candidates or set(candidates) & set(CEILINGS):
            found["pamps"] = stack.enter_context(servers.pamps(uri, secret, folder, workers))
            size = len(load.fetch(found["pamps"].port, "/post/"))
        for candidate, number in APART.items():
            if candidate in candidates:
                number = 1 if smoke else number
                found[candidate] = stack.enter_context(servers.pamps(uri, secret, folder, number, candidate))
        if "textbook" in candidates:
            found["textbook"] = stack.enter_context(servers.textbook(uri, secret, folder, workers))
        for candidate, app in (("asgi", "bare"), ("fastapi", "through_fastapi")):
            if candidate in candidates:
                found[candidate] = stack.enter_context(servers.ceiling(app, size, folder, workers))
        yield Bench(ground, postgres, programs, found, ground.tokens(), folder, smoke)


def measure(
    bench: Bench, cases: list[Case], candidates: list[str], rounds: int, seconds: int, console: Console
) -> Results:
    """Warm up, count statements, then measure in rounds: what disturbs the machine for a while disturbs all alike."""
    results = Results()
    plan = [*bench.plan(cases, candidates)]

    def told(title: str, case: Case, candidate: str, seconds: int) -> Measure:
        found = bench.measure(case, candidate, seconds)
        console.print(f"{title}: {case.title}, {candidate}: {found.rate:,.0f}/s", highlight=False)
        return found

    if not bench.smoke:
        for case, candidate in plan:
            told("warming up", case, candidate, min(seconds, WARM_UP))
    with bench.ground.counting():
        for case, candidate in plan:
            if candidate in ("pamps", *APART, "textbook"):
                count = bench.count_statements(case, candidate)
                results.statements.setdefault(case.name, {})[candidate] = count
    for number in range(1, rounds + 1):
        for case, candidate in plan:
            results.add(case.name, candidate, told(f"round {number} of {rounds}", case, candidate, seconds))
        for name, server in bench.servers.items():
            if size := processes.largest_mb(server.pid):
                results.worker_mb.setdefault(name, []).append(round(size))
    return results
