"""Writes the demo's history into the database, in batches, by COPY; the counters are the triggers' work as always."""

import io
import secrets
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

import psycopg2
from psycopg2 import extensions
from psycopg2.errors import UniqueViolation
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from pamps.commands.console import err, say
from pamps.commands.demo.history import History, Person, Post, Size
from pamps.commands.ready import in_one_line, ready
from pamps.config import Security, Settings
from pamps.db.drivers import asyncpg_uri
from pamps.errors import UsernameTaken
from pamps.passwords import Passwords

PASSWORD = "looking around"  # of the first person, for everybody to try
BATCH = 2000  # rows of a table, but for the likes, which come with their posts

USERS = ("id", "email", "username", "password_hash", "name", "bio", "created_at")
SOCIAL = ("follower_id", "followed_id", "date")
POSTS = ("id", "user_id", "parent_id", "text", "date", "edited_at")
LIKES = ("user_id", "post_id", "date")

Row = TypeVar("Row")


def fill(settings: Settings, size: Size, seed: int, until: datetime) -> None:
    """Make a history and write it, with a progress bar on a terminal; say what was made and how to sign in.

    Raises UsernameTaken, having written nothing, where people of these names are already; and DatabaseUnavailable.
    """
    # In production nobody should be let in by a password that stands in the source.
    password = secrets.token_urlsafe(16) if settings.env == "production" else PASSWORD
    with ready(settings) as uri, in_one_line(), closing(psycopg2.connect(asyncpg_uri(uri))) as connection:
        history = History(size, seed, until)
        with bar(size) as report:
            loading = Loading(connection, history, report)
            loading.people(*hashes(settings.security, password))
            loading.follows()
            loading.posts()
            loading.done()
    say("{user} people, {post} posts, {like} likes, {social} follows.".format_map(loading.written))
    say(f"Sign in as {history.people[0].username} with the password: {password}")


class bar:  # noqa: N801  # reads as what it shows
    """A progress bar, where there is a terminal to see it; entering gives what tells it of rows written."""

    def __init__(self, size: Size):
        columns = (TextColumn("Filling"), BarColumn(), TextColumn("{task.percentage:.0f} %"), TimeRemainingColumn())
        self.progress = Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
        self.task = self.progress.add_task("", total=sum(size))

    def __enter__(self) -> Callable[[int], None]:
        self.progress.start()
        return lambda rows: self.progress.advance(self.task, rows)

    def __exit__(self, *error: object) -> None:
        self.progress.stop()


class Loading:
    """A history on its way into a database. What is written when it breaks off stays."""

    def __init__(self, connection: extensions.connection, history: History, report: Callable[[int], None]):
        self.connection = connection
        self.history = history
        self.report = report
        self.written: Counter[str] = Counter(user=0, social=0, post=0, like=0)
        # By number: a million of them take 8 MB.
        self.user_ids = array("q")
        self.post_ids = array("q")

    def people(self, password_hash: str, nobodys_hash: str) -> None:
        """All in one transaction: either these people are new here, or nothing is written."""

        def row(id: int, person: Person, hashed: str) -> tuple[Any, ...]:
            email = f"{person.username}@example.com"
            return id, email, person.username, hashed, person.name, person.bio, person.created_at

        people = self.history.people
        with self.connection, self.connection.cursor() as cursor:
            self.user_ids.extend(reserve(cursor, "user", len(people)))
            hashed = [password_hash, *[nobodys_hash] * (len(people) - 1)]
            try:
                for batch in batches(map(row, self.user_ids, people, hashed)):
                    self.copy(cursor, "user", USERS, batch)
            except UniqueViolation as error:
                raise UsernameTaken(
                    "the demo's people are here already, or others of their names, so nothing was written; "
                    "`pamps reset-db` empties the database"
                ) from error

    def follows(self) -> None:
        ids = self.user_ids
        for batch in batches((ids[who], ids[whom], since) for who, whom, since in self.history.follows()):
            with self.connection, self.connection.cursor() as cursor:
                self.copy(cursor, "social", SOCIAL, batch)

    def posts(self) -> None:
        for batch in batches(self.history.posts()):
            with self.connection, self.connection.cursor() as cursor:
                self.post_ids.extend(reserve(cursor, "post", len(batch)))
                self.copy(cursor, "post", POSTS, map(self.post_row, batch))
                self.copy(cursor, "like", LIKES, (row for post in batch for row in self.like_rows(post)))

    def post_row(self, post: Post) -> tuple[Any, ...]:
        parent = None if post.parent is None else self.post_ids[post.parent]
        return self.post_ids[post.number], self.user_ids[post.user], parent, post.text, post.date, post.edited_at

    def like_rows(self, post: Post) -> Iterator[tuple[Any, ...]]:
        return ((self.user_ids[user], self.post_ids[post.number], date) for user, date in post.likes)

    def copy(
        self, cursor: extensions.cursor, table: str, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]
    ) -> None:
        lines = ["\t".join(map(field, row)) + "\n" for row in rows]
        cursor.copy_expert(f'COPY "{table}" ({", ".join(columns)}) FROM STDIN', io.StringIO("".join(lines)))
        self.written[table] += len(lines)
        self.report(len(lines))

    def done(self) -> None:
        """Let the planner know what came."""
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute('ANALYZE "user", social, post, "like"')


def reserve(cursor: extensions.cursor, table: str, count: int) -> list[int]:
    """Ids that nobody else gets, in ascending order."""
    sequence = f"pg_get_serial_sequence('\"{table}\"', 'id')"
    cursor.execute(f"SELECT nextval({sequence}) FROM generate_series(1, %s)", (count,))
    return [row[0] for row in cursor.fetchall()]


def field(value: object) -> str:
    """A value as COPY reads it."""
    if value is None:
        return r"\N"
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value).replace("\\", r"\\").replace("\n", r"\n").replace("\r", r"\r").replace("\t", r"\t")


def hashes(settings: Security, password: str) -> tuple[str, str]:
    """The hash of a password, and one of a password that nobody knows."""
    context = Passwords(settings).context
    return context.hash(password), context.hash(secrets.token_urlsafe())


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    left = iter(rows)
    while batch := list(islice(left, BATCH)):
        yield batch
