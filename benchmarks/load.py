"""Load: wrk for what speaks HTTP, pgbench for statements alone, and a few plain requests to see that all is well."""

import http.client
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.case import Request, Script
from pamps.db.database import PLANNING
from pamps.db.drivers import asyncpg_uri

CONNECTIONS = 32
THREADS = 2
TIMEOUT = 30.0  # seconds, for one answer
WRK_SCRIPT = Path(__file__).with_name("wrk.lua")
LITERAL = re.compile(r"'(?:[^']|'')*'")


class LoadError(Exception):
    """An answer that is none, or a tool that is missing; the message is for people."""


@dataclass(frozen=True)
class Load:
    """What a load came to: requests in so many seconds; half, and 99 of 100, were answered within."""

    requests: int
    seconds: float
    p50_ms: float | None = None
    p99_ms: float | None = None


def find_wrk() -> str:
    found = shutil.which("wrk")
    if not found:
        raise LoadError("wrk, which makes the load, isn't installed: apt-get install wrk, or brew install wrk")
    return found


def lines(requests: Iterable[Request], tokens: dict[int, str]) -> str:
    """Requests as wrk.lua reads them."""
    rows = (
        (one.method, one.path, f"Bearer {tokens[one.user]}" if one.user else "", one.media_type, one.body)
        for one in requests
    )
    return "".join("\t".join(row) + "\n" for row in rows)


def wrk(port: int, requests: list[Request], tokens: dict[int, str], folder: Path, seconds: int) -> Load:
    """Load a server on this machine with these requests, again and again. Raises LoadError if any of them fails."""
    file = folder / "requests.tsv"
    file.write_text(lines(requests * (1 if len(requests) > THREADS else THREADS), tokens))
    options = ["-t", str(THREADS), "-c", str(CONNECTIONS), "-d", f"{seconds}s", "--timeout", f"{TIMEOUT:.0f}s"]
    command = [find_wrk(), *options, "-s", str(WRK_SCRIPT), f"http://127.0.0.1:{port}", "--", str(file), str(THREADS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not said:
        raise LoadError(f"wrk failed: {(done.stderr or done.stdout).strip()}")
    found = json.loads(said[0])
    if errors := found.pop("errors"):
        raise LoadError(f"{errors} of {found['requests']} requests failed")
    return Load(**found) if found["requests"] else Load(0, found["seconds"])


def plain(port: int, requests: list[Request], tokens: dict[int, str], count: int) -> Load:
    """Send some requests one after the other, and see that each is answered with 200 or 201."""
    took: list[float] = []
    begun = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    for number in range(count):
        started = time.monotonic()
        answered(connection, requests[number % len(requests)], tokens)
        took.append(time.monotonic() - started)
    connection.close()
    took.sort()
    return Load(
        count,
        time.monotonic() - begun,
        took[len(took) // 2] * 1000,
        took[min(len(took) - 1, len(took) * 99 // 100)] * 1000,
    )


def fetch(port: int, path: str) -> bytes:
    """The body at a path."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        return answered(connection, Request("GET", path), {})
    finally:
        connection.close()


def answered(connection: http.client.HTTPConnection, request: Request, tokens: dict[int, str]) -> bytes:
    """The body that answers a request. Raises LoadError for anything but 200 and 201."""
    headers = {"Content-Type": request.media_type} if request.body else {}
    if request.user:
        headers["Authorization"] = f"Bearer {tokens[request.user]}"
    connection.request(request.method, request.path, request.body.encode() or None, headers)
    response = connection.getresponse()
    body = response.read()
    if response.status not in (200, 201):
        raise LoadError(f"{request.method} {request.path}: {response.status} {body[:300].decode(errors='replace')}")
    return body


def pgbench_script(script: Script) -> str:
    """A script for pgbench; what it sends are the same statements with the same parameters, a null as nullif(0, 0)."""
    variables, statements = {"null": "0", **script.variables}, []
    for statement, values in script.statements:
        # To pgbench every colon before a name is a variable, in a literal too.
        sql = LITERAL.sub(
            lambda match: "E" + match[0].replace(":", "\\x3a") if ":" in match[0] else match[0], statement.sql
        )
        for number, name in reversed([*enumerate(statement.order, 1)]):
            value = values.get(name, "nullif(:null, 0)")
            if value.isdigit():  # a parameter it is for Pamps, so it should be one here
                variables[name], value = value, f":{name}"
            sql = sql.replace(f"${number}", value)
        statements.append(" ".join(sql.split()) + ";")
    return "\n".join([*(f"\\set {name} {value}" for name, value in variables.items()), *statements, ""])


def pgbench(
    programs: Path,
    uri: str,
    script: Script,
    folder: Path,
    *,
    seconds: int = 0,
    transactions: int = 0,
    clients: int = CONNECTIONS,
) -> Load:
    """Run a script's statements, prepared, with so many clients; for so many seconds, or as many transactions each."""
    file = folder / "pgbench.sql"
    file.write_text(pgbench_script(script))
    limit = ["-T", str(seconds)] if seconds else ["-t", str(transactions)]
    options = ["-n", "-M", "prepared", "-c", str(clients), "-j", str(THREADS), *limit, "-f", str(file)]
    planning = " ".join(f"-c {name}={value}" for name, value in PLANNING.items())  # as Pamps has its statements planned
    done = subprocess.run(
        [programs / "pgbench", *options, asyncpg_uri(uri)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PGOPTIONS": planning},
    )
    rate = re.search(r"tps = ([\d.]+) \(without", done.stdout)
    runs = re.search(r"actually processed: (\d+)", done.stdout)
    if done.returncode or not rate or not runs:
        raise LoadError(f"pgbench failed: {(done.stderr or done.stdout).strip()}")
    statements = len(script.statements)
    return Load(int(runs[1]) * statements, int(runs[1]) / float(rate[1]))
