"""Bodies: what their headers must say, and how large they may be."""

import re
from collections.abc import Awaitable, Callable

from fastapi import Request, Response
from starlette.types import Message

from pamps import errors
from pamps.errors import PampsError
from pamps.routing.injection import Handler

JSON = re.compile(r"application/([\w.+-]+\+)?json\s*(;|$)", re.IGNORECASE)
FORM = re.compile(r"(application/x-www-form-urlencoded|multipart/form-data)\s*(;|$)", re.IGNORECASE)


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
        if sent and request.headers.get("content-encoding", "").lower() not in ("", "identity"):
            raise errors.UnsupportedMediaType("the body has to come as it is, without a Content-Encoding")
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
    """An ASGI receive that stops once more than `limit` bytes of body have come; `refusal` is why it stopped.

    A client that hangs up in the middle is refused as well, if only for the log: nobody is there to be answered.
    """

    def __init__(self, receive: Callable[[], Awaitable[Message]], limit: int):
        self.receive = receive
        self.limit = self.left = limit
        self.refusal: PampsError | None = None

    async def __call__(self) -> Message:
        try:
            message = await self.receive()
            self.left -= len(message.get("body", b""))
            if message["type"] == "http.disconnect":
                self.refusal = errors.MalformedBody("the body ends too early")
            if self.left < 0:
                raise errors.BodyTooLarge(f"the body may have {self.limit} bytes")
        except PampsError as error:
            self.refusal = error
            raise
        return message
