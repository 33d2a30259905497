"""Delivery: takes mail out of the queue and hands it to the mail server, in the event loop of each server process.

The queue is pgqueuer's: a job is taken by one process, which says every HEARTBEAT / 2 that it is still at it; one that
has not been heard of for HEARTBEAT is taken by another process. A mail that the mail server has taken is struck off at
once. Only a process that is killed between the two, or cut off from the database for longer than HEARTBEAT, lets it be
sent again, with the same Message-ID.
"""

import asyncio
import logging
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from functools import partial
from random import uniform

from asyncpg import Connection
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.core.qm import QueueManager
from pgqueuer.domain.errors import RetryRequested
from pgqueuer.domain.models import Job
from pgqueuer.domain.types import JobId
from pydantic import BaseModel

from pamps.config import Settings
from pamps.db.database import Database
from pamps.db.meanings import UNAVAILABLE
from pamps.errors import PampsError, SchemaBehind
from pamps.mail.message import KeyGone, Mail, compose
from pamps.mail.smtp import Log, MailServer, Refused, TryLater, log
from pamps.queries import mail as mails
from pamps.tokens import kid, link_hash, link_token, new_seed

POLL = timedelta(seconds=10)  # how long new mail lies at most if its NOTIFY is lost
HEARTBEAT = timedelta(seconds=60)
AT_ONCE = 10  # mails on their way from one process
LONGEST, LONGEST_OF_A_LINK = 3600.0, 300.0  # seconds between two tries
GRACE = 2.0  # seconds for mail on its way when the process is to end
RECONNECT = 1.0  # seconds
SWEEP = 3600.0  # seconds


class Asked(BaseModel):
    """That somebody has asked for a new password, by an email that need not be anybody's."""

    email: str
    language: str


class GivenUp(Exception):
    """A mail will not be tried again. The log has been told why."""


class Delivery:
    """Runs until it is ended; heals when the database was away."""

    def __init__(self, database: Database, settings: Settings):
        self.database = database
        self.settings = settings
        self.server = MailServer(settings.mail) if settings.mail.host else Log()
        self.ending = asyncio.Event()
        self.stops: set[asyncio.Event] = {self.ending}
        self.on_their_way: set[asyncio.Timeout] = set()
        self.taken: dict[JobId, Job] = {}  # by the mail server, and not yet struck off
        self.connection: Connection | None = None
        self.tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self.tasks = [asyncio.create_task(self.run()), asyncio.create_task(self.sweep())]

    async def end(self) -> None:
        """Take no more, give what is on its way a moment, leave the rest to whoever comes next."""
        for stop in self.stops:
            stop.set()
        for limit in self.on_their_way:
            limit.reschedule(asyncio.get_running_loop().time() + GRACE)
        if not self.tasks:
            return
        _, late = await asyncio.wait(self.tasks, timeout=GRACE + 1)
        if self.connection:
            # The database hangs. Cancelled, pgqueuer would take what is on its way for called off, and strike it off.
            self.connection.terminate()
            late.discard(self.tasks[0])
        for task in late:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def run(self) -> None:
        """Work on one connection after another."""
        said = ""
        while not self.ending.is_set():
            try:
                async with self.database.connection() as connection:
                    with self.database.meanings:
                        await self.work(connection)
                said = ""
            except PampsError as error:
                if said != error.code:
                    log.warning("mail waits: %s", error.detail)
                said = error.code
            except Exception:
                log.exception("mail waits")
            await self.pause(RECONNECT)

    async def work(self, connection: Connection) -> None:
        """Deliver until told to end, or until the connection does."""
        queries = Queries(AsyncpgDriver(connection))
        if not await queries.has_table(queries.qbe.settings.queue_table):
            raise SchemaBehind()
        await self.strike_off(queries)
        jobs = QueueManager(queries)
        jobs.entrypoint("mail", on_failure="hold")(partial(self.deliver, queries=queries))
        jobs.entrypoint("password_reset", on_failure="hold")(self.reset)
        connection.add_termination_listener(lambda _: jobs.shutdown.set())
        self.stops.add(jobs.shutdown)
        self.connection = connection
        try:
            if not self.ending.is_set():
                await jobs.run(
                    # What is tried again nobody is notified of.
                    dequeue_timeout=min(POLL, timedelta(seconds=self.settings.mail.retry_seconds)),
                    batch_size=AT_ONCE // 2,
                    max_concurrent_tasks=AT_ONCE,
                    heartbeat_timeout=HEARTBEAT,
                    log_aggregation_interval=timedelta(0),  # nobody reads its statistics
                )
        finally:
            self.stops.remove(jobs.shutdown)
            self.connection = None

    async def deliver(self, job: Job, queries: Queries) -> None:
        """Hand a mail over; ask for another try, or give it up."""
        if job.id in self.taken:
            return await self.strike_off(queries)
        named = f"mail {job.id}"
        try:
            mail = Mail.model_validate_json(job.payload or b"")
            named = f"mail {job.id} ({mail.template}, user {mail.user_id})"
            if mail.until and mail.until < datetime.now(UTC):
                raise Refused("its link has ended")
            message = compose(mail, job.id, job.created, self.settings)
            try:
                await self.hand_over(job, message, queries)
            except TryLater as error:
                delay = self.delay(job, mail, str(error))
                log.warning("%s is tried again in %.0f seconds: %s", named, delay, error)
                raise RetryRequested(timedelta(seconds=delay), str(error)) from None
        except (Refused, KeyGone) as error:
            log.error("%s is given up: %s", named, error)
            raise GivenUp(str(error)) from None
        except RetryRequested:
            raise
        except Exception as error:
            log.exception("%s is given up", named)
            raise GivenUp(type(error).__name__) from None

    async def hand_over(self, job: Job, message: EmailMessage, queries: Queries) -> None:
        """Raises TryLater, Refused; RetryRequested where the process ends first."""
        ends = asyncio.get_running_loop().time() + GRACE if self.ending.is_set() else None
        limit = asyncio.timeout_at(ends)
        self.on_their_way.add(limit)
        try:
            async with limit, self.server.session() as session:
                await session.deliver(message)
                self.taken[job.id] = job
                await self.strike_off(queries)
        except TimeoutError:
            if job.id not in self.taken:
                raise RetryRequested(reason="the process ends") from None
        finally:
            self.on_their_way.discard(limit)

    async def strike_off(self, queries: Queries) -> None:
        """Take out of the queue what the mail server has taken; pgqueuer does so too, but later than it could."""
        done = list(self.taken.values())
        if not done:
            return
        try:
            await queries.log_jobs([(job, "successful", None) for job in done])
        except Exception as error:  # then the next connection begins with it
            log.warning("what was mailed is not yet struck off: %s", error)
        else:
            for job in done:
                self.taken.pop(job.id, None)

    def delay(self, job: Job, mail: Mail, reason: str) -> float:
        """After how many seconds to try again. Raises Refused where that would be too late."""
        longest = LONGEST_OF_A_LINK if mail.until else LONGEST
        delay = min(self.settings.mail.retry_seconds * 2.0 ** min(job.attempts, 20), longest)
        delay *= uniform(0.8, 1.2)  # nosec B311 # what failed together shall not come back together
        last = job.created + timedelta(days=self.settings.mail.give_up_days)
        if datetime.now(UTC) + timedelta(seconds=delay) > min(last, mail.until or last):
            raise Refused(reason)
        return delay

    async def reset(self, job: Job) -> None:
        """Mail a link for a new password to whoever has the email that was given, if anybody."""
        asked = Asked.model_validate_json(job.payload or b"")
        mail, key, seed = self.settings.mail, self.settings.security.secret_key, new_seed()
        try:
            await self.database.row(
                mails.send_password_reset,
                email=asked.email,
                language=asked.language,
                seed=seed,
                kid=kid(key),
                token_hash=link_hash(link_token(seed, key)),
                lasts=timedelta(minutes=mail.password_reset_expire_minutes),
                spacing=timedelta(minutes=mail.resend_minutes),
            )
        except PampsError as error:
            raise RetryRequested(timedelta(seconds=RECONNECT), error.detail) from None

    async def sweep(self) -> None:
        """Once in a while, take away what nobody looks at any more."""
        while not self.ending.is_set():
            with suppress(PampsError):  # the database is away, which run() says; there is no hurry
                await self.database.row(mails.forget_failed)
                await self.database.row(mails.forget_log)
            await self.pause(SWEEP)

    async def pause(self, seconds: float) -> None:
        """Until then, or until the end."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.ending.wait(), seconds)


class Said(logging.Filter):
    """Of pgqueuer's own log, what is not said here already."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, (GivenUp, *UNAVAILABLE))


logging.getLogger("pgqueuer").addFilter(Said())
