"""Answers that are kept, and given again where the database says that it would say the same.

docs/decisions/17-kept-answers.md has the reasons, and what was not taken.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from asyncpg import Record

from pamps.config import Db
from pamps.db.database import Database
from pamps.db.statement import Statement
from pamps.queries.version import unchanged
from pamps.recent import Recent

ASKED = 4096  # questions of which it is known that they have been asked
MEGABYTE = 1024 * 1024
OBJECTS = 600  # bytes, about, that an answer takes besides its texts


@dataclass(slots=True)
class Kept:
    """An answer: its row, with the versions of what it was made from, and who asked: a user, a session, a proof."""

    row: Record
    asker: tuple[int | None, int | None, bytes | None]
    given: bool = False  # again, since it was kept

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return len(self.row["body"]) + sum(len(text or "") for text in self.row["versions"]) + OBJECTS


class Answers:
    """Answers by their questions, as many as fit: those go first that have not been asked for the longest."""

    def __init__(self, most: int):
        self.most = most  # bytes
        self.size = 0
        self.kept: OrderedDict[Hashable, Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self.kept)

    def get(self, question: Hashable) -> Kept | None:
        found = self.kept.get(question)
        if found is not None:
            self.kept.move_to_end(question)
        return found

    def keep(self, question: Hashable, answer: Kept) -> None:
        self.drop(question)
        self.kept[question] = answer
        self.size += answer.size
        while self.size > self.most:
            self.drop(next(iter(self.kept)))

    def drop(self, question: Hashable) -> None:
        if question in self.kept:
            self.size -= self.kept.pop(question).size


class KeepingDatabase(Database):
    """A database that keeps answers; it is asked whether these still hold, rather than for all of them anew.

    It is asked with each request, after that has come, so no answer is older than it would be without this; and for all
    requests together that come while it is being asked. What is asked for a second time is kept.
    """

    def __init__(self, uri: str, settings: Db, megabytes: int):
        super().__init__(uri, settings)
        # Whether it is worth while to keep the answer to a question that has been asked; by the hashes of questions, as
        # those themselves take three times the memory, and of two that have the same one nobody is told anything wrong.
        self.asked: Recent[int, bool] = Recent(ASKED)
        self.answers = Answers(megabytes * MEGABYTE)
        self.outcomes: Counter[str] = Counter()  # of asking whether an answer holds: `given` again, or `changed`
        self.doubted: list[tuple[Kept, asyncio.Future[bool]]] = []
        self.asking: asyncio.Task[None] | None = None

    async def row(self, statement: Statement, **params: Any) -> Record | None:
        """The first row of a statement, or None."""
        arguments = statement.arguments(params)
        if statement.versioned is None:
            return await self.run(statement, arguments)
        question = (statement, *arguments)
        mark = hash(question)
        kept = self.answers.get(question)
        if kept is not None:
            if await self.holds(kept):
                kept.given = True
                self.outcomes["given"] += 1
                return kept.row
            self.outcomes["changed"] += 1
            self.answers.drop(question)
            if not kept.given:  # it changes as often as it is asked for
                self.asked.pop(mark)
            return await self.run(statement, arguments)
        worth_while = self.asked.get(mark)
        if not worth_while:
            if worth_while is None:
                self.asked[mark] = True
            return await self.run(statement, arguments)
        row = await self.run(statement.versioned, arguments)
        if row is not None and row["body"] is not None:
            if row["versions"] is None:
                self.asked[mark] = False
            else:
                self.answers.keep(question, Kept(row, (params["viewer"], params["session"], params["proof"])))
        return row

    async def holds(self, kept: Kept) -> bool:
        """Whether an answer is what the database would answer now."""
        found: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.doubted.append((kept, found))
        if self.asking is None:
            self.asking = asyncio.create_task(self.ask())
        return await found

    async def ask(self) -> None:
        """Ask about all answers that are in doubt, until none is."""
        while self.doubted:
            doubted, self.doubted = self.doubted, []
            try:
                hold = await self.which_hold([kept for kept, _ in doubted])
            except Exception as error:
                for _, found in doubted:
                    if not found.done():
                        found.set_exception(error)
            else:
                for number, (_, found) in enumerate(doubted, 1):
                    if not found.done():  # it is when its client has gone
                        found.set_result(number in hold)
        self.asking = None

    async def which_hold(self, answers: list[Kept]) -> set[int]:
        """The numbers, from 1, of those answers that hold."""
        posts, users, stamps = zip(*(kept.row["versions"] for kept in answers), strict=True)
        viewers, sessions, proofs = zip(*(kept.asker for kept in answers), strict=True)
        row = await super().row(
            unchanged, posts=posts, users=users, stamps=stamps, viewers=viewers, sessions=sessions, proofs=proofs
        )
        return set(row["unchanged"] or ()) if row else set()
