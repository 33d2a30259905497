"""`./benchmarks/run`: starts everything, makes the data if they are not there, measures, and tells."""

import json
import os
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import command, measure
from benchmarks.cases import CASES
from benchmarks.chart import chart
from benchmarks.command import DIRECTORY
from benchmarks.ground import prepare, security_settings
from benchmarks.layout import SCALE_MIN, Layout
from benchmarks.load import find_wrk
from benchmarks.report import report, show
from benchmarks.servers import postgres
from pamps import embedded

HERE = Path(__file__).parent
# Under root, the account that the embedded PostgreSQL has must come through: a home directory won't do.

Names = Annotated[str, typer.Option(help="Their names, with commas between; all, unless you say.")]


def chosen(names: str, known: list[str]) -> list[str]:
    """The names in a list with commas, in the order of those that there are."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in wanted if not any(matches(one, name) for one in known)]:
        raise typer.BadParameter(f"there is no {', '.join(unknown)}; there are {', '.join(known)}")
    return [one for one in known if not wanted or any(matches(one, name) for name in wanted)]


def matches(name: str, wanted: str) -> bool:
    """`timeline` is every timeline."""
    return name == wanted or name.startswith(f"{wanted}-")


def run(
    scale: Annotated[float, typer.Option(min=SCALE_MIN, max=1, help="Of 1,000,000 posts; 1 is all of them.")] = 1.0,
    seconds: Annotated[int, typer.Option(min=1, help="How long each candidate is measured in a round.")] = 5,
    rounds: Annotated[int, typer.Option(min=1, help="How many rounds.")] = 5,
    only: Names = "",
    candidates: Names = "",
    directory: Annotated[Path, typer.Option(help="Where the databases are kept, one for each scale.")] = DIRECTORY,
    results: Annotated[Path, typer.Option(help="Where the results go; the chart goes beside them.")] = HERE
    / "results.json",
    data_only: Annotated[bool, typer.Option("--data-only", help="Make the data, and stop.")] = False,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="A few requests each, to see that it works; measures nothing.")
    ] = False,
) -> None:
    """Measure Pamps beside a constant answer, PostgreSQL driven bare, and a textbook's way of writing it."""
    console = Console(stderr=True)
    for name in [name for name in os.environ if name.startswith("PAMPS_")]:
        del os.environ[name]  # what is set for a Pamps around here is not meant for this one
    cases = [case for case in CASES if case.name in chosen(only, [case.name for case in CASES])]
    who = measure.with_something_to_do(chosen(candidates, list(measure.CANDIDATES)), cases)
    if not smoke and not data_only:
        find_wrk()
    layout = Layout(scale)
    with postgres(directory / f"scale-{scale:g}") as server, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ground = prepare(server.uri, layout, security_settings(folder, secrets.token_urlsafe(48)), console)
        if data_only:
            return
        with measure.bench(ground, server, embedded.programs(), who, folder, smoke) as bench:
            found = measure.measure(bench, cases, who, rounds, seconds, console)
    how = {"scale": scale, "posts": layout.posts, "seconds": seconds, "rounds": rounds, "smoke": smoke}
    told = report(found, cases, **how, deep_page=ground.place.deep_page)
    write(told, results)
    show(told, Console(width=None if sys.stdout.isatty() else 140))


def write(told: dict[str, object], results: Path) -> None:
    results.write_text(json.dumps(told, indent=1) + "\n")
    results.with_suffix(".svg").write_text(chart(told))


if __name__ == "__main__":
    command.run(run)
