"""The OpenAPI document: FastAPI's, with what only a running Pamps knows put into it."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from pamps import __version__
from pamps.models.problem import Problem
from pamps.models.session import RevokeForm, RevokeRequest

DESCRIPTION = """
A microblog: people register, post, reply, like, follow, and read the timeline of those they follow.

**Signing in.** `POST /token` gives an access token; send it as `Authorization: Bearer ...`. *Authorize* does it here.

**Lists** are arrays; the `Link` header leads to the next page.

**Errors** are `application/problem+json` with a stable `code`.
"""
TAGS = [
    {"name": "auth", "description": "Sign in, stay signed in, sign out."},
    {"name": "email", "description": "Whether an email is verified, and a new password by it."},
    {"name": "user", "description": "People, whom they follow, and their timeline."},
    {"name": "post", "description": "Posts, replies and likes."},
    {"name": "moderation", "description": "Roles, suspended accounts, and posts that have to go."},
    {"name": "health", "description": "Is it alive, is it ready."},
]


def document(app: FastAPI, max_length: int) -> dict[str, Any]:
    """The OpenAPI document of an app whose posts may have `max_length` characters."""
    found = get_openapi(
        title="Pamps",
        version=__version__,
        description=DESCRIPTION,
        tags=TAGS,
        routes=app.routes,
        license_info={"name": "MIT", "identifier": "MIT"},
    )
    schemas = found["components"]["schemas"]
    for model in (Problem, RevokeForm, RevokeRequest):
        shape = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(shape.pop("$defs", {}))
        schemas[model.__name__] = shape
    for name in ("PostRequest", "PostUpdate"):
        schemas[name]["properties"]["text"]["maxLength"] = max_length
    return found
