"""What routes are given besides the request: the database, the settings, the password hasher; named types all."""

from typing import Annotated

from fastapi import Depends, Request

from pamps import config, security
from pamps.db.database import Runner


async def database(request: Request) -> Runner:
    """The pool of this process; for a request with an Idempotency-Key, what idempotency.py has put before it."""
    found: Runner = request.scope.get("database") or request.app.state.database
    return found


async def settings(request: Request) -> config.Settings:
    """The settings of this process."""
    found: config.Settings = request.app.state.settings
    return found


async def passwords(request: Request) -> security.Passwords:
    """The password hasher of this process."""
    found: security.Passwords = request.app.state.passwords
    return found


Database = Annotated[Runner, Depends(database)]
Settings = Annotated[config.Settings, Depends(settings)]
Passwords = Annotated[security.Passwords, Depends(passwords)]
