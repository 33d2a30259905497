"""The chart for the README: for each case, how many times the textbook's rate, and which share of PostgreSQL's own."""

from typing import Any
from xml.sax.saxutils import escape

LONGEST = {"textbook": 50, "pgbench": 3}  # times; what is more is cut off there, lest all the others become dots
ROW, TOP, LEFT, WIDTH, GAP = 26, 64, 320, 260, 130
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 } .axis { stroke: #8c959f } .textbook { fill: #1f6feb } .pgbench { fill: #2da44e }
.spread { stroke: #24292f; stroke-opacity: .55 } .apart { fill: #24292f; fill-opacity: .45 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .spread { stroke: #e6edf3 } .apart { fill: #e6edf3 } }
"""


def chart(found: dict[str, Any]) -> str:
    """An SVG of two columns of bars. A thin line is the spread over the rounds; a thin bar below, answers read anew."""
    cases = [case for case in found["cases"] if LONGEST.keys() & case["ratios"].keys()]
    height = TOP + ROW * len(cases) + 20
    right = LEFT + WIDTH + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{right + WIDTH + GAP}" height="{height}" role="img">',
        f"<title>{escape(caption(found))}</title><style>{STYLE}</style>",
        f'<text class="title" x="{LEFT}" y="24">times the textbook\'s rate</text>',
        f'<text class="title" x="{right}" y="24">share of PostgreSQL\'s own rate (pgbench)</text>',
        f'<text x="{LEFT}" y="44">{escape(caption(found))}</text>',
    ]
    for row, case in enumerate(cases):
        y = TOP + row * ROW
        parts.append(f'<text x="{LEFT - 12}" y="{y + 14}" text-anchor="end">{escape(case["title"])}</text>')
        for kind, x, form in (("textbook", LEFT, "{:.1f} times"), ("pgbench", right, "{:.2f}")):
            once = WIDTH / most(cases, kind)
            parts.append(bar(kind, case["ratios"].get(kind), x, y, once, form))
            if apart := case.get("ratios_apart", {}).get(kind):
                width = min(once * apart["median"], WIDTH)
                parts.append(f'<rect class="apart" x="{x}" y="{y + ROW - 7}" width="{width:.1f}" height="3"/>')
    for x in (LEFT, right):
        parts.append(f'<line class="axis" x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{height - 20}"/>')
    return "\n".join([*parts, "</svg>", ""])


def most(cases: list[dict[str, Any]], kind: str) -> float:
    """How many times the whole width of a column is."""
    found = max((case["ratios"][kind]["max"] for case in cases if kind in case["ratios"]), default=1.0)
    return float(min(max(found, 1.0), LONGEST[kind]))


def bar(kind: str, ratio: dict[str, float] | None, x: float, y: float, scale: float, form: str) -> str:
    if not ratio:
        return ""
    middle, low, high = (x + min(scale * ratio[name], WIDTH) for name in ("median", "min", "max"))
    return (
        f'<rect class="{kind}" x="{x}" y="{y + 2}" width="{middle - x:.1f}" height="{ROW - 10}" rx="2"/>'
        f'<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="{y + 10}" y2="{y + 10}"/>'
        f'<text x="{max(middle, high) + 6:.1f}" y="{y + 14}">{form.format(ratio["median"])}</text>'
    )


def caption(found: dict[str, Any]) -> str:
    rounds, posts = found["rounds"], found["posts"]
    return (
        f"{posts:,} posts, {found['connections']} connections, {found['workers']} workers, medians of {rounds} rounds; "
        "thin bars: each answer read anew"
    )
