"""Is it alive, is it ready; and a front page for people."""

from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from sqlalchemy import column, select, table

from pamps import __version__, schema
from pamps.db import Statement
from pamps.dependencies import Database
from pamps.errors import SchemaBehind
from pamps.models.health import Health, Service
from pamps.routing import Route

router = APIRouter(tags=["health"], route_class=Route)

revision = Statement(select(column("version_num")).select_from(table("alembic_version")))
FRONT_PAGE = Path(__file__).parent.parent.joinpath("static", "index.html").read_text()


@router.get("/", response_model=Service, responses={200: {"content": {"text/html": {}}}})
async def front_page(request: Request) -> Response:
    """What this is and where the API page is: a page for people, JSON for who asks for JSON."""
    if "json" in request.headers.get("accept", ""):
        return JSONResponse(
            Service(name="pamps", version=__version__, docs="/docs", openapi="/openapi.json").model_dump()
        )
    return HTMLResponse(FRONT_PAGE.replace("{version}", __version__), headers={"Vary": "Accept"})


@router.get("/livez", response_model=Health)
async def alive() -> Response:
    """That this process answers."""
    return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})


@router.get("/readyz", response_model=Health)
async def ready(db: Database) -> Response:
    """That the database answers and its schema is this version's."""
    row = await db.row(revision)
    found = row["version_num"] if row else None
    if found != schema.head():
        raise SchemaBehind(f"the schema is at {found}, this version needs {schema.head()}; run: pamps migrate")
    return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})
