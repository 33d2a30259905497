"""Every error as application/problem+json (RFC 9457): ours, FastAPI's, Starlette's, and the unexpected."""

import logging
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pamps import errors, telemetry
from pamps.errors import PampsError
from pamps.logs import CODE, said
from pamps.models.problem import Invalid, Problem
from pamps.models.shape import in_words

MEDIA_TYPE = "application/problem+json"
BY_STATUS: dict[int, type[PampsError]] = {
    error.status: error
    for error in (
        errors.MalformedBody,
        errors.NotSignedIn,
        errors.NotFound,
        errors.MethodNotAllowed,
        errors.BodyTooLarge,
        errors.UnsupportedMediaType,
    )
}
log = logging.getLogger("pamps")


class ProblemResponse(JSONResponse):
    """A problem, which leaves its code to whoever watches."""

    media_type = MEDIA_TYPE

    def __init__(self, error: PampsError, body: Any, headers: Any):
        super().__init__(body, error.status, headers)
        self.code = error.code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[CODE] = self.code
        await super().__call__(scope, receive, send)


def problem(error: PampsError, invalid: list[Invalid] | None = None, headers: Any = None) -> JSONResponse:
    """The answer that an error gives."""
    body = Problem(
        type=f"urn:pamps:problem:{error.code}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        code=error.code,
        errors=invalid or [],
    )
    # A cache may else keep a 404 by itself (RFC 9111, section 4.2.2), and the next post has the next id.
    sent = {"Cache-Control": "no-store", **error.sent, **(headers or {})}
    return ProblemResponse(error, body.body(), sent)


def refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PampsError)
    if error.status >= 500 and not isinstance(error, errors.Overloaded):  # the request's line says as much, for less
        log.warning("%s: %s", error.code, said(error.__cause__) if error.__cause__ else error.detail)
    return problem(error)


def invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if found[0]["type"] == "json_invalid":
        return problem(errors.MalformedBody(f"the body is not JSON: {found[0]['ctx']['error']}"))
    return problem(
        errors.InvalidRequest(sentence(found)),
        [Invalid(loc=list(e["loc"]), msg=in_words(e), type=e["type"]) for e in found],
    )


def sentence(found: Any) -> str:
    """What is wrong with a request, in one line for people."""
    return "; ".join(f"{'.'.join(str(part) for part in one['loc'])}: {in_words(one)}" for one in found)


def http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kind = BY_STATUS.get(error.status_code, PampsError)
    return problem(kind(), headers={"Allow": allowed(request)} if kind is errors.MethodNotAllowed else error.headers)


def allowed(request: Request) -> str:
    """Every method that an address takes (RFC 9110, section 15.5.6): Starlette names those of its first route alone."""
    methods = {"GET", "HEAD"} if request.url.path.startswith("/static/") else set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.path_regex.match(request.url.path):
            methods |= set(route.methods or ())
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


ANSWERS = ((PampsError, refused), (RequestValidationError, invalid), (HTTPException, http))


class Problems:
    """ASGI middleware: what is raised inside is answered from here. What nobody expected is raised on, to be logged.

    Instead of Starlette's and FastAPI's own, five around each request, most of which wrap each message of an answer.
    In the middle of an answer another one can't begin: the server refuses it, and ends the connection.
    """

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            if scope["type"] != "http":
                raise
            answer = next((answer for kind, answer in ANSWERS if isinstance(error, kind)), None)
            if answer is None:
                telemetry.failed(scope, error)
            response = answer(Request(scope), error) if answer else problem(PampsError())
            await response(scope, receive, send)
            if answer is None:
                raise
