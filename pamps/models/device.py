"""Where people sign in from: the table `device`."""

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Index, Text
from sqlmodel import Field, SQLModel

from pamps.models.base import created, reference, related

if TYPE_CHECKING:
    from pamps.models.user import User


class Device(SQLModel, table=True):
    """A network that a user has signed in from, or reset the password: whoever guesses elsewhere holds nobody up."""

    user_id: int = reference("user.id", primary_key=True)
    network: str = Field(sa_type=Text, primary_key=True)
    last_seen: datetime = created()

    user: "User" = related("devices")


devices = Device.__table__  # type: ignore[attr-defined]

# To sweep those that were not seen for long.
Index("device_by_last_seen", devices.c.last_seen)
