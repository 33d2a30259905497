"""What pages from elsewhere may ask with, send and read (CORS), if server.cors_origins lets them in."""

import re
from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
TAKEN = ("Authorization", "Content-Type", "If-None-Match", "Idempotency-Key", "X-Request-ID")
GIVEN = (
    *("Allow", "ETag", "Link", "Location", "RateLimit", "RateLimit-Policy", "Retry-After"),
    *("WWW-Authenticate", "X-Request-ID"),
)
ORIGIN = re.compile(rb"^origin:[ \t]*(\S+)", re.IGNORECASE | re.MULTILINE)


class Cors(CORSMiddleware):
    """Starlette's, for the origins that are let in."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]):
        super().__init__(app, origins, METHODS, TAKEN, expose_headers=GIVEN)


def readable(origins: Sequence[str], head: bytes) -> list[tuple[bytes, bytes]]:
    """The headers by which a page may read what is answered to no more than a part of a request's head.

    Where that does not say whose page it is, it is taken for one of the single origin that is let in; of several there
    is no telling.
    """
    found = ORIGIN.search(head)
    named = found[1].decode("latin-1") if found else origins[0] if len(origins) == 1 else ""
    origin = "*" if "*" in origins else named
    if origin not in origins:
        return []
    return [
        (b"access-control-allow-origin", origin.encode()),
        (b"access-control-expose-headers", ", ".join(GIVEN).encode()),
        (b"vary", b"Origin"),
    ]
