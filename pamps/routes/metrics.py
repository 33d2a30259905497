"""What is counted, for who has the token of the settings. This is only there if there is one."""

from secrets import compare_digest

import anyio
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from pamps.dependencies import Settings
from pamps.errors import InvalidToken
from pamps.routing.route import Route

router = APIRouter(route_class=Route, include_in_schema=False)


@router.get("/metrics")
async def metrics(request: Request, settings: Settings) -> Response:
    """The figures of all server processes, in Prometheus' text format."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not compare_digest(token.encode(), settings.metrics.token.encode()):
        raise InvalidToken()
    # It reads files and adds them up, which takes longer than other requests should wait.
    text = await anyio.to_thread.run_sync(generate_latest, request.app.state.figures)
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"})
