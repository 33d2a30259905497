"""`./benchmarks/overload`: several times what Pamps can do is asked of it, with its bounds and with none."""

import os
import secrets
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import command, load, servers
from benchmarks.arrivals import Outcome, crowd, raw
from benchmarks.case import Case, Request
from benchmarks.cases import CASES
from benchmarks.command import DIRECTORY
from benchmarks.ground import Ground, prepare, security_settings
from benchmarks.layout import SCALE_MIN, Layout
from benchmarks.load import LoadError, find_wrk
from benchmarks.measure import WARM_UP, WORKERS
from benchmarks.report import shown_ratio, spread
from pamps.connections.files import open_all_files

SMOKE_RATE = 25.0
# What clients may ask for: what is read, and each answer is read anew (nothing is answered together, nothing kept).
ASKED = {case.name: case for case in CASES if not case.writes}
# By candidate what is set beside the defaults of production: bounds that are never reached.
CANDIDATES: dict[str, dict[str, str]] = {
    "bounds": {},
    "no bounds": {
        "PAMPS_SERVER__max_in_flight": "100000",
        "PAMPS_SERVER__max_connections": "1000000",
        "PAMPS_DB__max_waiting": "100000",
        "PAMPS_DB__wait_timeout": "86400",
    },
}


@dataclass(frozen=True)
class Figures:
    """What a load came to: by the second, and how long who was answered had waited, half and 99 of 100 of them.

    And how late clients came, 99 of 100 of them: it is among those waits, and of no server's making.
    """

    offered: float
    served: float
    refused: float
    gave_up: float
    served_p50_ms: float | None
    served_p99_ms: float | None
    refused_p50_ms: float | None
    refused_p99_ms: float | None
    late_p99_ms: float | None


HEADINGS = (
    *("offered/s", "served/s", "refused/s", "gave up/s"),
    *("p50 ms", "p99 ms", "refused p50 ms", "refused p99 ms", "late p99 ms"),
)


def figures(found: Outcome) -> Figures:
    served, refused = found.served, found.refused
    rates = (count / found.seconds for count in (found.offered, len(served), len(refused), found.gave_up))
    waits = ((served, 50), (served, 99), (refused, 50), (refused, 99), (found.late, 99))
    return Figures(*rates, *(share_ms(of_some, percent) for of_some, percent in waits))


def share_ms(waits: list[float], percent: int) -> float | None:
    """What so many of 100 waits don't exceed, in milliseconds."""
    ordered = sorted(waits)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] * 1000 if ordered else None


@dataclass(frozen=True)
class Overload:
    """Both candidates, running, and what is asked of them: by everybody something of their own."""

    servers: dict[str, servers.Server]
    ground: Ground
    folder: Path
    requests: list[Request]
    tokens: dict[int, str]

    def capacity(self, candidate: str, seconds: int) -> float:
        """How many a second are answered when each client waits for its answer."""
        found = load.wrk(self.servers[candidate].port, self.requests, self.tokens, self.folder, seconds)
        return found.requests / found.seconds

    def offer(self, candidate: str, rate: float, patience: float, seconds: float) -> Figures:
        """Let so many come for as long as they are patient, and then for so many seconds in which it is measured."""
        written = [raw(request, self.tokens) for request in self.requests]
        server = self.servers[candidate]
        try:
            found = crowd(server.port, written, rate, patience, patience, seconds)
        except LoadError as error:
            raise LoadError(f"{candidate}: {error}\n{server.said()}") from None
        self.ground.settle()
        return figures(found)


def rates(rounds: dict[str, list[Figures]]) -> Table:
    table = Table("", title="Medians of the rounds")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for candidate, found in rounds.items():
        columns = (spread(getattr(one, name) for one in found) for name in Figures.__annotations__)
        table.add_row(candidate, *(f"{column['median']:,.4g}" if column else "" for column in columns))
    return table


def ratios(rounds: dict[str, list[Figures]], capacities: list[float]) -> Table:
    """Taken within each round."""
    bounded, unbounded = rounds["bounds"], rounds["no bounds"]
    table = Table("ratio", "median (min..max)", title=f"{median(capacities):,.0f}/s can be done")
    for candidate, found in rounds.items():
        table.add_row(f"{candidate}: served of what can be", of((one.served for one in found), capacities))
    for title, name in (("served", "served"), ("p50", "served_p50_ms"), ("p99", "served_p99_ms")):
        values, others = ([getattr(one, name) for one in found] for found in (bounded, unbounded))
        table.add_row(f"{title}, with bounds to without", of(values, others))
    return table


def of(values: Iterable[float | None], others: Iterable[float | None]) -> str:
    pairs = zip(values, others, strict=True)
    return shown_ratio(spread(one / other if one is not None and other else None for one, other in pairs))


def overload(
    times: Annotated[float, typer.Option(min=0.1, help="What is asked, as a multiple of what can be done.")] = 4.0,
    only: Annotated[str, typer.Option(help=f"What is asked for: {', '.join(ASKED)}.")] = "timeline-ordinary",
    scale: Annotated[float, typer.Option(min=SCALE_MIN, max=1, help="Of 1,000,000 posts; 1 is all of them.")] = 0.01,
    seconds: Annotated[int, typer.Option(min=1, help="How long each is measured in a round.")] = 5,
    rounds: Annotated[int, typer.Option(min=1, help="How many rounds.")] = 5,
    patience: Annotated[float, typer.Option(min=0.1, help="Seconds until a client gives up.")] = 3.0,
    directory: Annotated[Path, typer.Option(help="Where the databases are kept, one for each scale.")] = DIRECTORY,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="A few requests each, to see that it works; measures nothing.")
    ] = False,
) -> None:
    """Ask several times as much of Pamps as it can do, with its bounds and without, and tell what became of it."""
    console = Console(stderr=True)
    for name in [name for name in os.environ if name.startswith("PAMPS_")]:
        del os.environ[name]  # what is set for a Pamps around here is not meant for this one
    if only not in ASKED:
        raise typer.BadParameter(f"there is no {only}; there are {', '.join(ASKED)}")
    if not smoke:
        find_wrk()
    open_all_files()
    with ready(ASKED[only], scale, directory, smoke, console) as found:
        capacities: list[float] = []
        by_candidate: dict[str, list[Figures]] = {candidate: [] for candidate in CANDIDATES}
        for number in range(1, rounds + 1):
            capacities.append(SMOKE_RATE if smoke else found.capacity("bounds", seconds))
            for candidate, measures in by_candidate.items():
                console.print(f"round {number} of {rounds}: {capacities[-1]:,.0f}/s can be done; {candidate}")
                amount = (0.1, 0.2) if smoke else (patience, seconds)
                measures.append(found.offer(candidate, times * capacities[-1], *amount))
    Console(width=None if sys.stdout.isatty() else 140).print(rates(by_candidate), ratios(by_candidate, capacities))


@contextmanager
def ready(case: Case, scale: float, directory: Path, smoke: bool, console: Console) -> Iterator[Overload]:
    """Everything, running; each request is answered by itself, as if no two asked for the same."""
    with servers.postgres(directory / f"scale-{scale:g}") as postgres, ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ground = prepare(postgres.uri, Layout(scale), security_settings(folder, secrets.token_urlsafe(48)), console)
        running = {
            candidate: stack.enter_context(
                servers.pamps(
                    postgres.uri, ground.security.secret_key, folder, 1 if smoke else WORKERS, candidate, **bounds
                )
            )
            for candidate, bounds in CANDIDATES.items()
        }
        requests = case.requests(ground.place)
        found = Overload(running, ground, folder, requests, ground.tokens())
        for candidate in () if smoke else CANDIDATES:
            found.capacity(candidate, WARM_UP)
        yield found


if __name__ == "__main__":
    command.run(overload)
