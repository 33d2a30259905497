"""The shapes of the health checks and of the front page."""

from typing import Literal

from pamps.models.shape import Answer


class Health(Answer):
    """All is well; anything else is a problem with status 503."""

    status: Literal["ok"]


class Service(Answer):
    """What this service is, and where its API is described."""

    name: str
    version: str
    docs: str
    openapi: str
