"""Is it alive, is it ready; and a front page for people."""

import re
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from pamps import __version__, schema
from pamps.dependencies import Database
from pamps.middleware import headers
from pamps.models.health import Health, Service
from pamps.queries import health
from pamps.routing.bodies import JSON
from pamps.routing.route import Route

router = APIRouter(tags=["health"], route_class=Route)

WEIGHT = re.compile(r"(?:^|;)\s*q=([01](?:\.[0-9]*)?)", re.IGNORECASE)
FRONT_PAGE = Path(__file__).parent.parent.joinpath("static", "index.html").read_text().replace("{version}", __version__)
FRONT_HEADERS = headers.page(f"style-src{headers.inline('style', FRONT_PAGE)}", "img-src 'self'")


@router.get("/", response_model=Service, responses={200: {"content": {"text/html": {}}}})
async def front_page(request: Request) -> Response:
    """What this is and where the API page is: a page for people, JSON for who asks for JSON."""
    vary = {"Vary": "Accept"}
    if prefers_json(request.headers.get("accept", "")):
        service = Service(name="pamps", version=__version__, docs="/docs", openapi="/openapi.json")
        return JSONResponse(service.model_dump(), headers=vary)
    return HTMLResponse(FRONT_PAGE, headers={**vary, **FRONT_HEADERS})


def prefers_json(accept: str) -> bool:
    """Whether JSON is preferred to a page (RFC 9110, section 12.5.1): it weighs more, or is named more exactly."""
    weights = {}
    for one in accept.split(","):
        media_type, _, options = one.partition(";")
        name = "application/json" if JSON.match(media_type.strip()) else media_type.strip().lower()
        weight = WEIGHT.search(options)
        weights[name] = float(weight[1]) if weight else 1.0

    def wish(*ranges: str) -> tuple[float, int]:
        return next(((weights[one], -place) for place, one in enumerate(ranges) if one in weights), (0, 0))

    return wish("application/json", "application/*", "*/*") > wish("text/html", "text/*", "*/*")


@router.get("/livez", response_model=Health)
async def alive() -> Response:
    """That this process answers."""
    return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})


@router.get("/readyz", response_model=Health)
async def ready(db: Database) -> Response:
    """That the database answers and its schema is this version's."""
    row = await db.row(health.revision)
    found = row["version_num"] if row else None
    if found != schema.head():
        raise schema.behind(found)
    return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})
