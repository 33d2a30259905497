"""A POST that is sent again: `Idempotency-Key`, as draft-ietf-httpapi-idempotency-key-header-07 has it.

A client that does not know whether its request came through sends it again with the same key, and gets the answer that
it would have got. The answer is kept in the transaction that wrote what it tells of, so there is never one without the
other. docs/decisions/14-retry-safety.md says why it is done so.
"""

import asyncio
import hmac
import json
import logging
from contextlib import AsyncExitStack
from datetime import timedelta
from types import TracebackType
from typing import Any

from asyncpg import Record
from fastapi import Request, Response

from pamps import errors
from pamps.config import Settings
from pamps.db.database import TRIES, Database, Runner
from pamps.db.meanings import COLLIDED
from pamps.db.statement import Statement
from pamps.errors import PampsError
from pamps.models.shape import IDEMPOTENCY_KEY
from pamps.queries import idempotency as keys
from pamps.routing.asked import HEADER, Asked
from pamps.routing.injection import Handler

RAISED = (errors.MalformedIdempotencyKey, errors.IdempotencyKeyInUse, errors.IdempotencyKeyReused)
PARAMETER: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes it safe to send the request again: the same key and body get the same answer, for a day. "
    "A text in quotes, such as a UUID; the quotes may be left out.",
    "schema": {"type": "string", "pattern": IDEMPOTENCY_KEY},
    "example": '"8e03978e-40d5-43df-bc93-6894a57f9324"',
}
BETWEEN_SWEEPS = 600.0  # seconds
log = logging.getLogger("pamps")


def repeatable(answer: Handler) -> Handler:
    """A handler that answers a request with a key once, and then repeats itself. Without a key nothing is different."""

    async def handler(request: Request) -> Response:
        for name, _ in request.scope["headers"]:
            if name == HEADER:
                return await answered_once(answer, request)
        return await answer(request)

    return handler


async def answered_once(answer: Handler, request: Request) -> Response:
    """The answer, and its being kept, in one transaction with what it writes; or the answer of an earlier request."""
    state = request.app.state
    async with Once(state.database, await Asked.by(request), state.settings) as once:
        request.scope["database"] = once
        try:
            response = await answer(request)
        except Known as known:
            return known.answer
        await once.keep(response)
    return response


class Known(Exception):
    """It has been answered before: whatever was about to be done is not."""

    def __init__(self, answer: Response):
        self.answer = answer


# Of a key that somebody has used before.
USED = (Known, errors.IdempotencyKeyInUse, errors.IdempotencyKeyReused)


class GivenUp(Exception):
    """The end of a transaction that is to leave nothing behind."""


class Once(Runner):
    """The database as a request with a key has it: all it runs is one transaction, which begins by claiming the key.

    It begins with the first statement, since a connection should wait for nobody: passwords are hashed before that.
    What runs aside comes before it; where that comes later, for a route that begins anew or refuses, it is given up.
    """

    def __init__(self, database: Database, asked: Asked, settings: Settings):
        self.database = database
        self.vouched = database.vouched
        self.used = database.used
        self.asked = asked
        self.secrets = (settings.security.secret_key, *settings.security.old_secret_keys)
        self.kept = timedelta(hours=settings.server.idempotency_hours)
        self.owner: int | None = None
        self.wrote = False
        self.connection: Any = None
        self.transaction = AsyncExitStack()

    async def __aenter__(self) -> "Once":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit, or after an error roll back."""
        with self.database.meanings:
            await self.transaction.__aexit__(kind, error, trace)

    async def row(self, statement: Statement, **params: Any) -> Record | None:
        """The first row of a statement. Raises Known where the request has been answered before."""
        if statement.aside:
            if self.connection is not None:
                await self.give_up()
            return await self.database.row(statement, **params)
        row = await self.row_within(statement, params)
        self.wrote = self.wrote or row is not None  # what writes has a row
        return row

    async def row_within(self, statement: Statement, params: dict[str, Any]) -> Record | None:
        """The same in the transaction, which is begun if need be."""
        arguments = statement.arguments(params)
        with self.database.meanings:
            if self.connection is not None:
                return await self.run(statement, arguments)
            tries = TRIES
            while True:
                try:
                    await self.begin(params)
                    return await self.run(statement, arguments)
                except USED:
                    await self.give_up()
                    if instead := statement.instead:
                        await self.database.row(instead, **{name: params[name] for name in instead.names})
                    raise
                except COLLIDED:  # the transaction is over, and nothing but the claim was in it
                    tries -= 1
                    await self.give_up()
                    if not tries:
                        raise

    async def run(self, statement: Statement, arguments: list[Any]) -> Record | None:
        row: Record | None = await self.connection.fetchrow(statement.sql, *arguments)
        return row

    async def begin(self, params: dict[str, Any]) -> None:
        """Claim the key for whoever asks. Raises Known, SessionEnded, IdempotencyKeyInUse, IdempotencyKeyReused."""
        pool = self.database.pool or await self.database.open()
        self.connection = await self.transaction.enter_async_context(pool.acquire())
        await self.transaction.enter_async_context(self.connection.transaction())
        self.owner = params.get("viewer")
        values = {"key": self.asked.id(self.owner), "kept": self.kept}
        values |= {name: params.get(name) for name in keys.claim.names - values.keys()}
        found = await self.run(keys.claim, keys.claim.arguments(values))
        if found is None:
            self.vouched[params["viewer"], params["session"], params["proof"]] = False
            raise errors.SessionEnded()
        if found["fingerprint"] is not None:
            raise self.repeated(found)
        if not found["held"]:
            raise errors.IdempotencyKeyInUse()

    async def give_up(self) -> None:
        """Roll back: as if nothing had been begun."""
        self.connection, self.wrote = None, False
        await self.transaction.__aexit__(GivenUp, GivenUp(), None)

    def repeated(self, found: Record) -> Exception:
        """The answer to the earlier request with the key, if it was the same; by today's secret or an old one."""
        known = [one for one in self.secrets if hmac.compare_digest(found["fingerprint"], self.asked.fingerprint(one))]
        if not known:
            return errors.IdempotencyKeyReused()
        answer = self.asked.unsealed(found["answer"], known[0])
        return Known(Response(answer, found["status"], json.loads(found["headers"])))

    async def keep(self, response: Response) -> None:
        """Keep an answer with what it tells of. That is nothing for a refusal, and where there was nothing to do."""
        if self.connection is None:
            return
        if response.status_code >= 400 or not self.wrote:
            await self.give_up()
            return
        headers = {name: value for name, value in response.headers.items() if name != "content-length"}
        await self.row(
            keys.keep,
            key=self.asked.id(self.owner),
            owner=self.owner,
            fingerprint=self.asked.fingerprint(self.secrets[0]),
            status=response.status_code,
            headers=json.dumps(headers),
            answer=self.asked.sealed(bytes(response.body), self.secrets[0]),
        )


async def sweep(database: Runner, settings: Settings) -> None:
    """Throw away, now and then, what is older than it has to be; several processes take turns by taking rows."""
    kept = timedelta(hours=settings.server.idempotency_hours)
    while True:
        await asyncio.sleep(BETWEEN_SWEEPS)
        try:
            while (row := await database.row(keys.sweep, kept=kept)) and row["count"] == keys.BATCH:
                pass
        except PampsError as error:
            log.warning("old answers to requests with an Idempotency-Key stay for now: %s", error.detail)
