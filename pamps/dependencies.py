"""What routes are given besides the request: the database, the settings, the password hasher; named types all."""

from typing import Annotated

from fastapi import Depends, Request

from pamps import config, passwords
from pamps.db.database import Runner


async def database(request: Request) -> Runner:
    """The pool of this process; for a request with an Idempotency-Key, what idempotency.py has put before it."""
    found: Runner = request.scope.get("database") or request.app.state.database
    return found


async def settings(request: Request) -> config.Settings:
    """The settings of this process."""
    found: config.Settings = request.app.state.settings
    return found


async def password_hasher(request: Request) -> passwords.Passwords:
    """The password hasher of this process."""
    found: passwords.Passwords = request.app.state.passwords
    return found


Database = Annotated[Runner, Depends(database)]
Settings = Annotated[config.Settings, Depends(settings)]
Passwords = Annotated[passwords.Passwords, Depends(password_hasher)]
