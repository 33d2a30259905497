"""A stage for races: statements of the service on real connections, at once or one held open while the other waits."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from asyncpg import Record

from pamps.config import Settings
from pamps.db.database import Database
from pamps.db.statement import Statement
from pamps.errors import PampsError
from pamps.models import Post, User
from pamps.queries import follow as follows
from pamps.queries import like as likes
from pamps.queries import moderation
from pamps.queries import post as posts
from pamps.queries import token as tokens
from pamps.queries import user as users
from pamps.tokens import Claim, read_access_token
from tests.factories import World
from tests.locks import WAITING

CONNECTIONS = 16
PATIENCE = 20  # seconds until what should wait for a lock, or should end, fails the test
# Who finds a deadlock is broken off, and both would look after a second: the one that was held open looks later.
LOOKS_LATER = "SET LOCAL deadlock_timeout = '5s'"

Answer = Record | PampsError


class Player(NamedTuple):
    """Somebody who is signed in."""

    user: User
    viewer: Claim


class Act(NamedTuple):
    """One statement that somebody runs."""

    by: Player
    statement: Statement
    params: dict[str, Any]

    def arguments(self) -> list[Any]:
        claim = dict(zip(("viewer", "session", "proof"), self.by.viewer, strict=False))
        return self.statement.arguments({**self.params, **claim})


class Stage:
    def __init__(self, world: World, runner: asyncio.Runner, db: Database):
        self.world = world
        self.runner = runner
        self.db = db

    def player(self, **fields: str) -> Player:
        user = self.world.user(**fields)
        token, _ = self.world.sign_in(user)
        return Player(user, read_access_token(token, self.world.settings.security))

    def players(self, count: int) -> list[Player]:
        return [self.player() for _ in range(count)]

    def at_once(self, *acts: Act) -> list[Answer]:
        """What each answers when all run at the same time."""
        return self.runner.run(self.all_of(acts))

    async def all_of(self, acts: tuple[Act, ...]) -> list[Answer]:
        async with asyncio.timeout(PATIENCE):
            return await asyncio.gather(*map(self.answer, acts))

    async def answer(self, act: Act) -> Answer:
        """Only the errors that are meant for clients are answers; any other fails the test."""
        try:
            return await self.db.one(act.statement, act.by.viewer, **act.params)
        except PampsError as error:
            return error

    def while_open(self, first: Act, second: Act, then: Act | None = None, commit: bool = True) -> Answer:
        """What the second answers, begun when the first has run and not yet committed. It must wait for the first.

        `then` follows the first in its transaction once the second waits.
        """
        return self.runner.run(self.second_of(first, second, then, commit))

    async def second_of(self, first: Act, second: Act, then: Act | None, commit: bool) -> Answer:
        pool = await self.db.open()
        async with asyncio.timeout(PATIENCE), pool.acquire() as connection, pool.acquire() as watching:
            with suppress(RolledBack):
                async with connection.transaction():
                    await connection.fetchrow(first.statement.sql, *first.arguments())
                    waiting = asyncio.create_task(self.answer(second))
                    while not await watching.fetch(WAITING):
                        assert not waiting.done(), "the second did not wait for the first"
                    if then:
                        await connection.execute(LOOKS_LATER)
                        await connection.fetchrow(then.statement.sql, *then.arguments())
                    if not commit:
                        raise RolledBack
            return await waiting


class RolledBack(Exception):
    """The first thinks better of it."""


@contextmanager
def stage(world: World, runner: asyncio.Runner, settings: Settings) -> Iterator[Stage]:
    wide = settings.db.model_copy(update={"pool_size": CONNECTIONS})
    db = Database(settings.db.uri, wide)
    yield Stage(world, runner, db)
    runner.run(db.close())


def publish(by: Player, parent: Post | None = None) -> Act:
    return Act(by, posts.publish, {"text": "Hello!", "parent_id": parent.id if parent else None})


def edit(by: Player, post: Post) -> Act:
    return Act(by, posts.edit, {"id": post.id, "text": "Changed"})


def delete(by: Player, post: Post) -> Act:
    return Act(by, posts.delete, {"id": post.id})


def like(by: Player, post: Post) -> Act:
    return Act(by, likes.like, {"id": post.id})


def unlike(by: Player, post: Post) -> Act:
    return Act(by, likes.unlike, {"id": post.id})


def follow(by: Player, whom: Player) -> Act:
    return Act(by, follows.follow, {"id": whom.user.id, "username": None})


def unfollow(by: Player, whom: Player) -> Act:
    return Act(by, follows.unfollow, {"id": whom.user.id, "username": None})


def leave(by: Player) -> Act:
    return Act(by, users.leave, {"seen": by.user.password_hash})


def suspend(by: Player, whom: Player) -> Act:
    """By somebody who may."""
    return Act(by, moderation.suspend, {"username": whom.user.username, "reason": "Spam."})


def let_back(by: Player, whom: Player) -> Act:
    return Act(by, moderation.let_back, {"username": whom.user.username})


def give_role(by: Player, whom: Player, role: str) -> Act:
    return Act(by, moderation.give_role, {"username": whom.user.username, "role": role})


def demote(by: Player, whom: Player) -> Act:
    return give_role(by, whom, "user")


def make_token(by: Player, name: str = "script") -> Act:
    values = {"name": name, "scopes": ["read"], "days": 7, "token_hash": b"token"}
    return Act(by, tokens.make, values)


def chaos(on_stage: Stage, players: list[Player], chance: random.Random) -> list[Act]:
    """Anything that may be done to some posts in threads, and to one another."""
    posts: list[Post] = []
    for _ in range(12):
        parent = chance.choice([None, *posts[-4:]])
        posts.append(on_stage.world.post(by=chance.choice(players).user, parent=parent))
    to_posts: list[Callable[[Player, Post], Act]] = [publish, edit, delete, like, unlike]
    acts = [chance.choice(to_posts)(chance.choice(players), chance.choice(posts)) for _ in range(80)]
    for _ in range(20):
        who, whom = chance.sample(players, 2)
        acts.append(chance.choice([follow, unfollow])(who, whom))
    chance.shuffle(acts)
    return acts


def outcome(answer: Answer) -> str:
    """The code of an error, or ok."""
    return answer.code if isinstance(answer, PampsError) else "ok"
