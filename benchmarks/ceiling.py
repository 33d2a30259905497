"""The ceilings: a constant answer of as many bytes as the public list, by bare ASGI and an otherwise empty FastAPI."""

import os
from typing import Any

from fastapi import FastAPI, Response

BODY = b"x" * int(os.environ.get("CEILING_BYTES", "8000"))
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())],
}


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """ASGI with nothing between."""
    if scope["type"] == "http":
        await send(START)
        await send({"type": "http.response.body", "body": BODY})


through_fastapi = FastAPI(openapi_url=None, telemetry={"tracing": False, "metrics": False, "logs": False})


@through_fastapi.get("/")
async def constant() -> Response:
    return Response(BODY, media_type="application/json")
