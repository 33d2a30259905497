"""The ground that a run stands on: the network in its database, made if need be, and restored after what writes."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks import data
from benchmarks.case import Case, Place, look_around, number
from benchmarks.cases import PASSWORD
from benchmarks.layout import Layout
from pamps import schema, startup
from pamps.config import Security
from pamps.loading import load_settings
from pamps.models.tally import tallies
from pamps.passwords import Passwords
from pamps.tokens import sign_access_token

DAY = 24 * 60  # minutes
SETTLED_WITHIN = 120.0  # seconds
HERE = Path(__file__).parent
# Statements by their text: those of the counting itself; how Pamps' processes count together for limits, once a second;
# and what asyncpg asks on a connection when it first meets an array, which those take.
NOT_FOR_REQUESTS = ("%pg\\_stat\\_statements%", f"% {tallies.name} %", "%set\\_config%", "%typeinfo\\_tree%")


@dataclass(frozen=True)
class Ground:
    """A database with the network in it, and what a client needs to speak to it as somebody."""

    uri: str
    place: Place
    security: Security

    def tokens(self) -> dict[int, str]:
        """An access token for every writer and reader: their sessions have their own ids."""
        day = self.security.model_copy(update={"access_token_expire_minutes": float(DAY)})
        layout = self.place.layout
        now = time.time()
        return {user: sign_access_token(user, user, now, day) for user in range(layout.first_writer, layout.users + 1)}

    def restore(self, case: Case) -> None:
        """Take away what a case has written: the next one finds the same network."""
        if case.writes:
            restore(self.uri, self.place.layout)

    def settle(self) -> None:
        """Wait until the server has nothing to do any more: what wrk no longer waits for may be long in coming."""
        quiet, deadline = 0, time.monotonic() + SETTLED_WITHIN
        while quiet < 3 and time.monotonic() < deadline:
            quiet = 0 if self.active() else quiet + 1
            time.sleep(0.05)

    def active(self) -> int:
        """How many statements of clients are running, this one aside."""
        with data.connected(self.uri) as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND state <> 'idle' AND pid <> pg_backend_pid()"
            )
            return number(cursor)

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Let the server count statements for as long as this lasts; else it does not, which costs it less."""
        self.count(True)
        try:
            yield
        finally:
            self.count(False)

    def count(self, on: bool) -> None:
        track = "top" if on else "none"
        with data.connected(self.uri) as cursor:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
            cursor.execute(f"ALTER SYSTEM SET pg_stat_statements.track = {track}")
            cursor.execute("SELECT pg_reload_conf()")
        while setting(self.uri, "pg_stat_statements.track") != track:
            time.sleep(0.01)

    def statements(self) -> int:
        """How many statements clients have sent since counting began, for requests."""
        with data.connected(self.uri) as cursor:
            cursor.execute(
                "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE query NOT LIKE ALL (%s)",
                [[*NOT_FOR_REQUESTS]],
            )
            return number(cursor)


def security_settings(folder: Path, secret: str) -> Security:
    """Pamps' defaults, as an empty folder has them, with this secret."""
    return load_settings(folder).security.model_copy(update={"secret_key": secret})


def prepare(uri: str, layout: Layout, security: Security, console: Console | None = None) -> Ground:
    """See that the network is in a database, and nothing else: made now, unless it is the one that is wanted."""
    wanted = f"the network of Pamps' benchmark: scale {layout.scale}, seed {layout.seed}, {digest()}"
    if mark(uri) != wanted:
        with data.connected(uri) as cursor:
            cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        startup.migrate(uri)
        data.make(uri, layout, Passwords(security).context.hash(PASSWORD), console)
        if wrong := data.wrong_counters(uri, layout):
            raise RuntimeError(f"the data are not as they should be: {', '.join(wrong[:10])}")
        set_mark(uri, wanted)
    restore(uri, layout)  # a run may have been broken off
    with data.connected(uri) as cursor:
        return Ground(uri, look_around(cursor, layout), security)


def restore(uri: str, layout: Layout) -> None:
    """Take away what is there besides the network."""
    with data.connected(uri) as cursor:
        cursor.execute("DELETE FROM post WHERE id > %s", [layout.posts])
        cursor.execute('DELETE FROM "like" WHERE user_id >= %s', [layout.first_writer])
        cursor.execute("DELETE FROM session WHERE id > %s", [layout.users])
        cursor.execute('VACUUM post, "like", session, "user"')


def digest() -> str:
    """Of all that the data hang on: with another schema or another way of making them they are made anew."""
    sources = [*HERE.glob("*.py"), *schema.SCRIPTS.rglob("*.py")]
    made_by = {"network.py", "layout.py", "words.py", "data.py"}
    texts = [path.read_bytes() for path in sorted(sources) if path.parent != HERE or path.name in made_by]
    return hashlib.sha256(b"".join(texts)).hexdigest()[:16]


def mark(uri: str) -> str | None:
    """What a database says of itself."""
    with data.connected(uri) as cursor:
        cursor.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
        )
        row = cursor.fetchone()
        return row[0] if row else None


def set_mark(uri: str, text: str) -> None:
    with data.connected(uri) as cursor:
        cursor.execute("SELECT quote_ident(current_database())")
        row = cursor.fetchone()
        assert row
        cursor.execute(f"COMMENT ON DATABASE {row[0]} IS %s", [text])


def setting(uri: str, name: str) -> str | None:
    with data.connected(uri) as cursor:
        cursor.execute("SELECT current_setting(%s)", [name])
        row = cursor.fetchone()
        return row[0] if row else None
