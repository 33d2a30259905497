"""Validators: what a client already has is not sent again (RFC 9110, section 13)."""

from hashlib import blake2b

from fastapi import Request, Response

from pamps.middleware.headers import POLICY
from pamps.routing.injection import Handler

PERSONAL = [(b"vary", b"Authorization"), (b"cache-control", b"private, no-cache")]
# Of an answer that is cut down to 304: a cache takes it over into the answer that it has (RFC 9111, section 4.3.4).
KEPT = (b"etag", b"vary", b"cache-control", b"link", POLICY)


def cached(answer: Handler, personal: bool) -> Handler:
    """GET answers with a validator: the same bytes are not sent twice (RFC 9110, section 13)."""

    async def handler(request: Request) -> Response:
        response = await answer(request)
        if response.status_code != 200:
            return response
        seen = blake2b(response.body, digest_size=12)
        for name, value in response.raw_headers:
            if name == b"link":
                seen.update(value)  # whether there is more: a 304 can't take it away
        etag = f'"{seen.hexdigest()}"'
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
