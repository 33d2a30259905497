"""A database that keeps answers and tells what it ran, and questions to ask it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from asyncpg import Record

from pamps.config import Settings
from pamps.db.statement import Statement
from pamps.kept import KeepingDatabase
from pamps.queries import post as posts
from pamps.queries import thread as threads
from pamps.queries import timeline as timelines
from tests.processes import DEADLINE

PAGE = {"limit": 20, "cursor_id": None}
Question = tuple[Statement, dict[str, Any]]


class Told(KeepingDatabase):
    """A database that keeps answers, and the statements that it has run."""

    def __init__(self, settings: Settings, megabytes: int = 1):
        super().__init__(settings.db.uri, settings.db, megabytes)
        self.ran: list[Statement] = []

    async def run(self, statement: Statement, arguments: list[Any]) -> Record | None:
        self.ran.append(statement)
        return await super().run(statement, arguments)

    async def answer(self, question: Question) -> dict[str, Any] | None:
        """What is answered, be it kept or not; None where the session has ended."""
        statement, params = question
        return plain(await self.row(statement, **params))

    async def anew(self, question: Question) -> dict[str, Any] | None:
        """What the database has to say itself."""
        statement, params = question
        return plain(await super().run(statement, statement.arguments(params)))

    async def keep(self, question: Question) -> None:
        """Ask so often that the answer is kept, if it can be."""
        for _ in range(2):
            await self.answer(question)

    async def runs(self, question: Question) -> list[Statement]:
        """The statements that a question takes."""
        self.ran.clear()
        await self.answer(question)
        return self.ran.copy()


def plain(row: Record | None) -> dict[str, Any] | None:
    if row is None:
        return None
    body = row["body"]
    return {"body": body.decode() if isinstance(body, bytes) else body, "next": row.get("next")}


def asking(settings: Settings, what: Callable[[Told], Awaitable[None]], megabytes: int = 1) -> None:
    """Run what there is to be asked."""

    async def asked() -> None:
        database = Told(settings, megabytes)
        try:
            async with asyncio.timeout(DEADLINE):
                await what(database)
        finally:
            await database.close()

    asyncio.run(asked())


def by(viewer: int | None, proof: bytes | None = None) -> dict[str, Any]:
    """Who asks; each one's session has their own id."""
    return {"viewer": viewer, "session": viewer, "proof": proof}


def the_post(post: int, viewer: int | None = None) -> Question:
    return posts.read, {**by(viewer), "id": post}


def the_thread(post: int, viewer: int | None = None) -> Question:
    return threads.thread, {**by(viewer), "id": post}


def posts_by(username: str, viewer: int | None = None, replies: bool = True) -> Question:
    statement = posts.by_user_with_replies if replies else posts.by_user_without_replies
    return statement, {**by(viewer), **PAGE, "username": username}


def timeline(viewer: int, replies: bool = True, **page: int) -> Question:
    statement = timelines.timeline_with_replies if replies else timelines.timeline_without_replies
    return statement, {**by(viewer), **PAGE, **page}
