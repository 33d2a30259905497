"""The application: its state, its routes, its errors."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from pamps import logs, openapi, startup, telemetry, uses
from pamps.config import Settings
from pamps.db.database import Database
from pamps.errors import EmbeddedError, PampsError
from pamps.kept import KeepingDatabase
from pamps.loading import current_settings
from pamps.middleware import limits, problems
from pamps.middleware.admission import ADMISSION, Admission
from pamps.middleware.coalescing import Coalescing
from pamps.middleware.cors import Cors
from pamps.middleware.counts import keep_together
from pamps.middleware.headers import Headers
from pamps.middleware.limits import Limits
from pamps.middleware.problems import Problems
from pamps.middleware.watching import WATCHING, Watching
from pamps.passwords import Passwords
from pamps.routes import auth, docs, email, health, moderation, post, token, two_factor, user
from pamps.routing import idempotency
from pamps.routing.directory import Directory

if TYPE_CHECKING:
    from pamps.mail.delivery import Delivery

BETWEEN_REVIVALS = 1.0  # seconds


def create_app(settings: Settings | None = None) -> FastAPI:
    """A Pamps for these settings (default: those of this process): `uvicorn --factory pamps.app:create_app`."""
    settings = settings or current_settings()
    app = Application(lifespan=lifespan, openapi_url=None, telemetry=telemetry.config(settings.telemetry))
    app.state.settings = settings
    app.router.redirect_slashes = False
    for noun in (post, user, auth, token, two_factor, moderation, email, health, docs):
        # Not include_router(), which matches every request a second time within each included router.
        app.router.routes.extend(noun.router.routes)
    app.router.routes.append(docs.static)
    if settings.server.coalesce:
        app.add_middleware(Coalescing)
    app.state.limits = limits.by_kind(settings.limits)
    app.state.metrics = None
    if settings.metrics.wanted:
        count(app, settings)

    @cache
    def document() -> dict[str, Any]:
        return openapi.document(app, settings.post.max_length)

    app.openapi = document  # type: ignore[method-assign]
    return app


def count(app: FastAPI, settings: Settings) -> None:
    """Count what an app does, and tell whoever has the token, if there is one."""
    # Imported here, since it depends on the environment what that does, and it takes memory.
    from pamps import metrics
    from pamps.routes import metrics as route

    app.state.metrics = metrics.Metrics()
    app.state.figures = metrics.of_all(app.state.metrics)
    if settings.metrics.token:
        app.router.routes.extend(route.router.routes)


class Application(FastAPI):
    """FastAPI, with what concerns every answer around all else: around the one to an unexpected error as well."""

    def build_middleware_stack(self) -> ASGIApp:
        settings: Settings = self.state.settings
        server = settings.server
        app: ASGIApp = Directory(self.routes, self.router)
        for middleware, args, options in reversed(self.user_middleware):
            app = middleware(app, *args, **options)
        app = Problems(app)
        if self.state.limits:
            app = Limits(app, self.state.limits)
        app = self.state.admission = Admission(app, server.max_in_flight, lambda: self.state.database.room)
        if server.cors_origins:
            app = Cors(app, server.cors_origins)
        app = Headers(app, server.hsts_max_age)
        watching = self.state.watching = Watching(app, logs.of_requests(settings), self.state.metrics)
        return watching


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Hold what requests need: the embedded database if it is used, the secret, the pool. Gives what connections do."""
    settings = app.state.settings = startup.with_secret(app.state.settings)
    app.state.passwords = Passwords(settings.security)
    if settings.telemetry.tracing:
        telemetry.keep_private()
    with startup.database(settings) as uri:
        database = app.state.database = database_of(uri, settings)
        try:
            await database.open()
        except PampsError as error:
            cause = f"{type(error.__cause__).__name__}: {error.__cause__}"
            said = f"{error.detail} ({' '.join(cause.split())})"
            problems.log.warning("%s; serving anyway, and trying again with each request", said)
        tasks = [asyncio.create_task(work(database, settings)) for work in (keep_up, idempotency.sweep)]
        if app.state.limits and settings.limits.shared:
            counted = [limit.counts for limit in app.state.limits.values()]
            tasks.append(asyncio.create_task(keep_together(counted, database)))
        if app.state.metrics:
            tasks.append(asyncio.create_task(app.state.metrics.keep_looking(database)))
        tasks.append(asyncio.create_task(uses.write_regularly(database)))
        delivery = delivering(database, settings) if settings.mails else None
        try:
            yield {WATCHING: app.state.watching, ADMISSION: app.state.admission}
        finally:
            if delivery:
                await delivery.end()
            for task in tasks:
                task.cancel()
            await uses.write(database)
            await database.close()


def database_of(uri: str, settings: Settings) -> Database:
    """The database that requests are answered from."""
    if settings.server.kept_megabytes:
        return KeepingDatabase(uri, settings.db, settings.server.kept_megabytes)
    return Database(uri, settings.db)


def delivering(database: Database, settings: Settings) -> "Delivery":
    """The delivery of mail, begun."""
    from pamps.mail.delivery import Delivery  # where no mail is made, its queue need not take memory

    delivery = Delivery(database, settings)
    delivery.start()
    return delivery


async def keep_up(database: Database, settings: Settings) -> None:
    """Start the embedded PostgreSQL again whenever a request finds it gone, killed for want of memory, say.

    Requests meanwhile are 503, as with any database; one that `db.uri` names is its administrator's to start.
    """
    while not settings.db.uri:
        await database.meanings.lost.wait()
        database.meanings.lost.clear()
        try:
            await asyncio.to_thread(startup.revive, settings)
        except EmbeddedError as error:
            problems.log.error("%s", error.detail)
        await asyncio.sleep(BETWEEN_REVIVALS)
