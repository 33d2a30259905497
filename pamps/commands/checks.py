"""What `pamps doctor` looks at. A new check is a function here, and its name in one of the lists at the end."""

import asyncio
import os
import shutil
import stat
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine

from pamps import schema
from pamps.commands import counters, mailing
from pamps.config import Settings
from pamps.db.database import Database
from pamps.embedded.server import ROOM_FOR_DATA
from pamps.errors import DatabaseUnavailable
from pamps.loading import is_example
from pamps.places import source

OK, WARN, FAIL = "ok", "warn", "FAIL"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
VERSIONS = range(15, 19)  # of PostgreSQL
ROOM = 1_000_000_000  # bytes; with less, it is time to look for more
NOTICED, UNFIT = 1.0, 60.0  # seconds between two clocks

TURN_ON = "turn it on where it was turned off: SELECT source, sourcefile FROM pg_settings WHERE name = "
# Settings of PostgreSQL, what they have to be, and what comes of it if they aren't.
SETTINGS = [
    ("fsync", "on", FAIL, "a crash of the machine can destroy everything"),
    ("full_page_writes", "on", FAIL, "a crash of the machine can destroy everything"),
    ("transaction_read_only", "off", FAIL, "nothing can be written"),
    ("synchronous_commit", "on", WARN, "a crash loses the last moments of what was acknowledged"),
    ("autovacuum", "on", WARN, "tables grow and statements slow down"),
]


class Finding(NamedTuple):
    """What a check has found: ok, warn or FAIL, and what to do about it."""

    check: str
    result: str
    said: str
    advice: str = ""


def configuration(settings: Settings) -> Finding:
    return Finding("configuration", OK, f"{settings.env}; pamps config shows all of it")


def secret(settings: Settings) -> Finding:
    """Its length and its kind; the configuration has seen to the rest."""
    key, old = settings.security.secret_key, len(settings.security.old_secret_keys)
    generated = settings.db.directory / "secret_key"
    if not key:
        return Finding("secret", OK, f"a generated one, for development, in {settings.db.directory}")
    if settings.env == "production" and generated.is_file() and generated.read_text().strip() == key:
        return Finding("secret", FAIL, f"it is the development secret in {generated}", "give production one of its own")
    if is_example(key):
        return Finding("secret", WARN, "it looks like an example", "production will refuse it")
    kept = Path(source(("security", "secret_key"), Path.cwd()))
    if kept.is_file() and stat.S_IMODE(kept.stat().st_mode) & 0o077:
        return Finding("secret", WARN, f"others on this machine can read {kept}", f"chmod 600 {kept}")
    return Finding("secret", OK, f"{len(key)} characters; old keys: {old}")


def disk(settings: Settings) -> Finding:
    """The room for the embedded database."""
    if settings.db.uri:
        return Finding("disk", OK, "the data lies with the database that db.uri names")
    directory = settings.db.directory
    free = shutil.disk_usage(next(folder for folder in (directory, *directory.parents) if folder.exists())).free
    said = f"{free / 1e9:.1f} GB free for {directory}"
    if free < ROOM:
        return Finding("disk", FAIL if free < ROOM_FOR_DATA else WARN, said, "make room, or move it to a larger disk")
    return Finding("disk", OK, said)


def proxies(settings: Settings) -> Finding:
    """Whether clients are told apart: by their addresses guesses and requests are counted."""
    server, believed = settings.server, ", ".join(settings.server.trusted_proxies)
    if believed:
        return Finding("proxies", OK, f"{believed}: whom these name is the client")
    if settings.env == "production" and server.host in LOOPBACK:
        said = f"it listens on {server.host} alone, so to it all clients have the address of what passes them on"
        return Finding("proxies", WARN, said, "name that in server.trusted_proxies")
    return Finding("proxies", OK, "none: a client is whoever connects")


def watching(settings: Settings) -> Finding:
    """Who can read the metrics, and whether telemetry arrives anywhere."""
    metrics, telemetry = settings.metrics, settings.telemetry
    if telemetry.tracing or telemetry.metrics or telemetry.logs:
        if not find_spec("opentelemetry.sdk") or not find_spec("opentelemetry.exporter"):
            return Finding("watching", WARN, "telemetry is on, and can't be sent", "pip install pamps[telemetry]")
        if not any(name.startswith("OTEL_EXPORTER_OTLP_") and name.endswith("ENDPOINT") for name in os.environ):
            return Finding("watching", WARN, "telemetry is on, and sent nowhere", "set OTEL_EXPORTER_OTLP_ENDPOINT")
    if metrics.port and metrics.host not in LOOPBACK:
        said = f"whoever reaches {metrics.host} port {metrics.port} can read the metrics"
        return Finding("watching", WARN, said, "let nobody from outside, or use metrics.token instead")
    ways = [f"{metrics.host} port {metrics.port}"] * bool(metrics.port) + ["the token"] * bool(metrics.token)
    shown = f"metrics by {' and '.join(ways)}" if ways else "nobody sees metrics"
    return Finding("watching", OK, f"the log is {'JSON' if settings.log_as_json else 'text'}; {shown}")


def database(engine: Engine, settings: Settings, repair: bool) -> Finding:
    version, encoding = ask(engine, "SELECT current_setting('server_version'), current_setting('server_encoding')")
    major = int(version.split(".")[0].split("beta")[0].split("rc")[0])
    said = f"PostgreSQL {version}, {encoding}"
    if encoding != "UTF8":
        return Finding("database", FAIL, said, "make one with ENCODING 'UTF8' TEMPLATE template0, and restore into it")
    if major not in VERSIONS:
        advice = f"Pamps is made for {VERSIONS[0]} to {VERSIONS[-1]}"
        return Finding("database", FAIL if major < VERSIONS[0] else WARN, said, advice)
    return Finding("database", OK, said)


def connection(engine: Engine, settings: Settings, repair: bool) -> Finding:
    """Whether a server process gets one: it sends settings with it, which a pooler in between may refuse."""

    async def connect() -> None:
        made = await Database(engine.url.render_as_string(hide_password=False), settings.db).connect()
        await made.close()

    try:
        asyncio.run(connect())
    except DatabaseUnavailable as error:
        advice = "what lies between has to take what a connection sends: docs/operations.md, PgBouncer"
        return Finding("connection", FAIL, f"server processes get none: {error.__cause__}", advice)
    return Finding("connection", OK, "server processes get theirs")


def server(engine: Engine, settings: Settings, repair: bool) -> Finding:
    """Those of PostgreSQL's settings that matter."""
    for name, good, result, why in SETTINGS:
        (value,) = ask(engine, f"SELECT current_setting('{name}')")
        if value != good and not (name == "synchronous_commit" and value.startswith("remote")):
            advice = "db.uri has to name the primary" if good == "off" else f"{TURN_ON}'{name}'"
            return Finding("server", result, f"{name} is {value}: {why}", advice)
    (most,) = ask(engine, "SELECT current_setting('max_connections')::int")
    wanted = settings.server.workers * (settings.db.pool_size + settings.mails)  # which is delivered on one of its own
    said = f"{wanted} connections at most, of {most}"
    if wanted > most - 5:  # superuser_reserved_connections, and one for a command
        return Finding("server", WARN, said, "raise max_connections, or lower db.pool_size or server.workers")
    return Finding("server", OK, said)


def revision(engine: Engine, settings: Settings, repair: bool) -> Finding:
    now = schema.current(engine)
    if now == schema.head():
        return Finding("schema", OK, now)
    if now is None:
        return Finding("schema", FAIL, "there are no tables yet", "pamps migrate")
    if now not in schema.revisions():
        return Finding("schema", FAIL, f"{now} is of a newer version than this one", "install that")
    return Finding("schema", FAIL, f"{now} is older than {schema.head()}", "pamps backup FILE, and then pamps migrate")


def counted(engine: Engine, settings: Settings, repair: bool) -> Finding:
    if schema.current(engine) != schema.head():
        return Finding("counters", WARN, "not looked at", "see to the schema first")
    with engine.connect() as connection:
        wrong = counters.wrong(connection)
    said = ", ".join(f"{name} of {rows}" for name, rows in wrong.items())
    if wrong and repair:
        return Finding("counters", OK, f"{counters.repair_while_served(engine)} were wrong and are right ({said})")
    if wrong:
        return Finding("counters", FAIL, f"not what a recount gives: {said}", "pamps doctor --repair")
    return Finding("counters", OK, "what a recount gives")


def clock(engine: Engine, settings: Settings, repair: bool) -> Finding:
    with engine.connect() as connection:
        before = time.time()
        theirs = connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())::float8").scalar_one()
        ours = (before + time.time()) / 2
    apart = theirs - ours
    said = f"the database's is {abs(apart):.1f} seconds {'ahead of' if apart > 0 else 'behind'} this machine's"
    advice = "set both by NTP: tokens end by one and sessions by the other"
    if abs(apart) > NOTICED:
        return Finding("clock", FAIL if abs(apart) > UNFIT else WARN, said, advice)
    return Finding("clock", OK, "this machine's and the database's are the same")


def mail_server(settings: Settings) -> Finding:
    """Whether it takes mail from us."""
    if not settings.mail.host:
        said = "no mail is sent" if settings.env == "production" else "mail is written to the log"
        return Finding("mail server", OK, f"{said}: mail.host is empty")
    named = f"{settings.mail.host} port {settings.mail.port}"
    if refused := mailing.refusal(settings):
        return Finding(
            "mail server", FAIL, f"{named}: {refused}", "mend the settings under mail; what waits is sent then"
        )
    return Finding("mail server", OK, f"{named} takes mail")


def mail(engine: Engine, settings: Settings, repair: bool) -> Finding:
    """What waits in the queue."""
    if schema.current(engine) != schema.head():
        return Finding("mail", WARN, "not looked at", "see to the schema first")
    waits, failed, age = mailing.waiting(engine)
    said = f"{waits} wait, the oldest for {age:.0f} seconds" if waits else "none waits"
    if failed:
        return Finding(
            "mail", WARN, f"{said}; {failed} given up", "the log says why; docs/operations.md how to try again"
        )
    if age > mailing.LONG:
        return Finding("mail", WARN, said, "see to the mail server, and that Pamps serves")
    return Finding("mail", OK, said)


def ask(engine: Engine, query: str) -> Any:
    """The row that a query gives."""
    with engine.connect() as connection:
        return connection.exec_driver_sql(query).one()


# By name, in the order that they are looked at.
OF_THIS_MACHINE: dict[str, Callable[[Settings], Finding]] = {
    "secret": secret,
    "disk": disk,
    "proxies": proxies,
    "watching": watching,
    "mail server": mail_server,
}
# What one of these can't be asked, the next can't either.
OF_THE_DATABASE: dict[str, Callable[[Engine, Settings, bool], Finding]] = {
    "database": database,
    "connection": connection,
    "server": server,
    "schema": revision,
    "counters": counted,
    "clock": clock,
    "mail": mail,
}
