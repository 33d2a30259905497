"""What all our routes have in common, in one subclass of FastAPI's: slashes, HEAD, bodies, ETags, documented errors."""

import re
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.params import Form
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pamps import errors, idempotency, injection
from pamps.auth import moderator, owner, scope_of, viewer, visitor
from pamps.dependencies import database
from pamps.errors import PampsError
from pamps.headers import POLICY
from pamps.injection import Handler
from pamps.limits import FREE
from pamps.pagination import dated_page, page
from pamps.problems import MEDIA_TYPE

JSON = re.compile(r"application/([\w.+-]+\+)?json\s*(;|$)", re.IGNORECASE)
FORM = re.compile(r"(application/x-www-form-urlencoded|multipart/form-data)\s*(;|$)", re.IGNORECASE)

CLAIMING = {visitor, moderator, owner}  # what a route depends on that asks who it is
PERSONAL = [(b"vary", b"Authorization"), (b"cache-control", b"private, no-cache")]
# Of an answer that is cut down to 304: a cache takes it over into the answer that it has (RFC 9111, section 4.3.4).
KEPT = (b"etag", b"vary", b"cache-control", b"link", POLICY)


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
        posts = "POST" in (self.methods or ()) and database in called(self.dependant)
        return posts and self.path not in idempotency.LEFT_OUT

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


def cached(answer: Handler, personal: bool) -> Handler:
    """GET answers with a validator: the same bytes are not sent twice (RFC 9110, section 13)."""

    async def handler(request: Request) -> Response:
        response = await answer(request)
        if response.status_code != 200:
            return response
        etag = f'"{blake2b(response.body, digest_size=12).hexdigest()}"'
        response.raw_headers.append((b"etag", etag.encode()))
        if personal:
            response.raw_headers += PERSONAL
        if matches(request.headers.get("if-none-match"), etag):
            unchanged = Response(status_code=304)
            unchanged.raw_headers = [header for header in response.raw_headers if header[0] in KEPT]
            return unchanged
        return response

    return handler


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether a client already has what an ETag names; compared weakly, as RFC 9110 section 13.1.2 says."""
    if if_none_match is None:
        return False
    known = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return "*" in known or etag.removeprefix("W/") in known


def with_body(answer: Handler, media_type: re.Pattern[str] | None) -> Handler:
    """Refuses a body by its headers where they tell, and else as soon as too much of it has come."""

    async def handler(request: Request) -> Response:
        limit: int = request.app.state.settings.server.max_body_size
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > limit:
            raise errors.BodyTooLarge(f"the body may have {limit} bytes, not {length}")
        sent = length not in ("", "0") or "transfer-encoding" in request.headers
        if media_type and sent and not media_type.match(request.headers.get("content-type", "")):
            raise errors.UnsupportedMediaType()
        bounded = Bounded(request.receive, limit)
        try:
            return await answer(Request(request.scope, bounded))
        except Exception:
            # FastAPI answers 400 to whatever goes wrong while it reads a body; this is what we know better.
            if bounded.refusal:
                raise bounded.refusal from None
            raise

    return handler


class Bounded:
    """An ASGI receive that stops once more than `limit` bytes of body have come; `refusal` is why it stopped."""

    def __init__(self, receive: Callable[[], Awaitable[Message]], limit: int):
        self.receive = receive
        self.limit = self.left = limit
        self.refusal: PampsError | None = None

    async def __call__(self) -> Message:
        try:
            message = await self.receive()
            self.left -= len(message.get("body", b""))
            if self.left < 0:
                raise errors.BodyTooLarge(f"the body may have {self.limit} bytes")
        except PampsError as error:
            self.refusal = error
            raise
        return message


def called(dependant: Dependant) -> set[Any]:
    """Every function that a route depends on, directly or not."""
    return {dependant.call}.union(*(called(inner) for inner in dependant.dependencies))


def has_parameters(dependant: Dependant) -> bool:
    own = dependant.path_params or dependant.query_params
    return bool(own) or any(has_parameters(inner) for inner in dependant.dependencies)


def raises(*kinds: type[PampsError]) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: the errors that only it can know of."""
    found: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        found.setdefault(kind.status, {"raises": []})["raises"].append(kind)
    return found


SENT_WITH = {
    "WWW-Authenticate": "How to sign in (RFC 6750, section 3).",
    "Retry-After": "After how many seconds it may be worth another try.",
}


def header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


CREATED: dict[int | str, dict[str, Any]] = {201: {"headers": {"Location": header("Where it is from now on.")}}}


def documented(kinds: list[type[PampsError]]) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses for errors, several of one status together."""
    found: dict[int | str, dict[str, Any]] = {}
    for status, response in sorted(raises(*dict.fromkeys(kinds)).items()):
        found[status] = {
            "description": "; ".join(f"`{kind.code}`: {kind.title}" for kind in response["raises"]),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        if headers := {name: header(SENT_WITH[name]) for kind in response["raises"] for name in kind.headers}:
            found[status]["headers"] = headers
    return found
