"""What all our routes have in common, in one subclass of FastAPI's: slashes, HEAD, bodies, ETags, documented errors."""

import re
from collections.abc import Callable
from typing import Any

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.params import Form
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from pamps import errors
from pamps.auth import moderator, owner, scope_of, viewer, visitor
from pamps.dependencies import database
from pamps.errors import PampsError
from pamps.middleware.limits import FREE
from pamps.pagination import dated_page, page
from pamps.routing import idempotency, injection
from pamps.routing.bodies import FORM, JSON, with_body
from pamps.routing.documented import documented, header
from pamps.routing.injection import Handler
from pamps.routing.validators import cached

CLAIMING = {visitor, moderator, owner}  # what a route depends on that asks who it is


class Route(APIRoute):
    """A route of Pamps.

    - Its path answers with and without the trailing slash, without a redirect; a GET route answers HEAD too.
    - A body that is too large or of another media type is refused before it is read.
    - A POST may be sent again, with an Idempotency-Key.
    - GET answers carry an ETag and honour If-None-Match; what depends on the viewer says so to caches.
    - The OpenAPI document lists the errors that it can answer: those that `responses=raises(...)` names, and those that
      follow from its parameters.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any):
        super().__init__(path, endpoint, **options)
        self.operation_id = self.unique_id = "_".join([*map(str, self.tags), self.name])
        # In the list of operations, what each does rather than its name: the first line of its docstring.
        self.summary = self.summary or self.description.split("\n")[0].rstrip(".")
        self.path_regex = re.compile(self.path_regex.pattern.removesuffix("$").removesuffix("/") + r"/?\Z")
        named = [kind for response in self.responses.values() for kind in response.get("raises", ())]
        kept = {status: response for status, response in self.responses.items() if "raises" not in response}
        self.responses = self.answers(kept) | documented([*named, *self.implied()])
        calls = called(self.dependant)
        # For the OpenAPI document.
        self.dependant.own_oauth_scopes = ["admin" if moderator in calls else scope_of(*(self.methods or ()))]
        self.beginning = path.split("{")[0].rstrip("/")
        if handler := injection.handler(self.dependant):
            self.app = answering(self.in_our_way(handler))
        else:
            self.app = AsyncExitStackMiddleware(self.app)  # where FastAPI leaves what it has opened
        if visitor in calls and viewer not in calls:  # FastAPI takes every security scheme for required
            self.openapi_extra = {"security": [{}], **(self.openapi_extra or {})}
        if self.repeatable:
            self.openapi_extra = {"parameters": [idempotency.PARAMETER], **(self.openapi_extra or {})}

    @property
    def repeatable(self) -> bool:
        """Whether it takes an Idempotency-Key."""
        return "POST" in (self.methods or ()) and database in called(self.dependant)

    def answers(self, kept: dict[int | str, dict[str, Any]]) -> dict[int | str, dict[str, Any]]:
        """The documented answers that are no errors, with those that follow from what all our routes do."""
        if "GET" not in (self.methods or ()):
            return kept
        headers = {"ETag": header("For `If-None-Match` (RFC 9110, section 13.1.2).")}
        if {page, dated_page} & called(self.dependant):
            headers["Link"] = header('The next page, `rel="next"` (RFC 8288); none at the end.')
        known = {"description": "It is still what `If-None-Match` names"}
        return {304: known, **kept, 200: {**kept.get(200, {}), "headers": headers}}

    def implied(self) -> list[type[PampsError]]:
        """The errors that follow from what a route takes."""
        found: list[type[PampsError]] = [PampsError]
        if self.path not in FREE:
            found += [errors.TooManyRequests, errors.Overloaded]
        calls = called(self.dependant)
        if database in calls:
            found += [errors.DatabaseUnavailable, errors.DatabaseBusy, errors.SchemaBehind]
        if "GET" not in (self.methods or ()):
            found += [errors.BodyTooLarge]
        if self.body_field:
            found += [errors.MalformedBody, errors.UnsupportedMediaType]
        if self.body_field or has_parameters(self.dependant):
            found += [errors.InvalidRequest]
        if calls & {viewer, moderator, owner}:
            found += [errors.NotSignedIn]
        if self.repeatable:
            found += idempotency.RAISED
        if calls & CLAIMING:
            found += [errors.InvalidToken, errors.TokenExpired, errors.SessionEnded]
            found += [errors.SignInNeeded if owner in calls else errors.InsufficientScope]
        return found

    def get_route_handler(self) -> Handler:
        return self.in_our_way(super().get_route_handler())

    def in_our_way(self, answer: Handler) -> Handler:
        """What all our routes do around an answer."""
        if "GET" in (self.methods or ()):
            return cached(answer, personal=bool(CLAIMING & called(self.dependant)))
        return with_body(idempotency.repeatable(answer) if self.repeatable else answer, self.media_type())

    def media_type(self) -> re.Pattern[str] | None:
        """What its body must be; None where it takes no body, or reads it itself."""
        if self.body_field is None:
            return None
        return FORM if isinstance(self.body_field.field_info, Form) else JSON

    def matches(self, scope: Any) -> Any:
        # Most requests are for another route, which is cheaper to see than by a regular expression.
        if self.beginning not in scope.get("path", ""):
            return Match.NONE, {}
        # HEAD is GET without the body, which the server leaves out by itself (RFC 9110, section 9.3.2).
        if scope["type"] == "http" and scope["method"] == "HEAD" and "GET" in (self.methods or ()):
            return super().matches({**scope, "method": "GET"})
        return super().matches(scope)

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "HEAD" and "GET" in (self.methods or ()):
            await self.app(scope, receive, send)
        else:
            await super().handle(scope, receive, send)


def answering(handler: Handler) -> ASGIApp:
    """An ASGI application of a handler; its errors are problems.py's."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await handler(Request(scope, receive, send))
        await response(scope, receive, send)

    return app


def called(dependant: Dependant) -> set[Any]:
    """Every function that a route depends on, directly or not."""
    return {dependant.call}.union(*(called(inner) for inner in dependant.dependencies))


def has_parameters(dependant: Dependant) -> bool:
    own = dependant.path_params or dependant.query_params
    return bool(own) or any(has_parameters(inner) for inner in dependant.dependencies)
