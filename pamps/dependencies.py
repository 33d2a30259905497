"""What routes are given besides the request: the database, the settings, the password hasher; named types all."""

from typing import Annotated

from fastapi import Depends, Request

from pamps.config import Settings as SettingsType
from pamps.db import Database as DatabaseType
from pamps.security import Passwords as PasswordsType


async def database(request: Request) -> DatabaseType:
    """The pool of this process."""
    found: DatabaseType = request.app.state.database
    return found


async def settings(request: Request) -> SettingsType:
    """The settings of this process."""
    found: SettingsType = request.app.state.settings
    return found


async def passwords(request: Request) -> PasswordsType:
    """The password hasher of this process."""
    found: PasswordsType = request.app.state.passwords
    return found


Database = Annotated[DatabaseType, Depends(database)]
Settings = Annotated[SettingsType, Depends(settings)]
Passwords = Annotated[PasswordsType, Depends(passwords)]
