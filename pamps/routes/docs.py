"""The OpenAPI document and its two pages; their scripts and styles are served from here, no outside network."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html, get_swagger_ui_oauth2_redirect_html
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from pamps.middleware import headers
from pamps.routing.route import Route

router = APIRouter(route_class=Route, include_in_schema=False)

STATIC = Path(__file__).parent.parent / "static"


class Static(Mount):
    """A Mount that says which route it is, as FastAPI's routes do."""

    def matches(self, scope: Any) -> Any:
        match, found = super().matches(scope)
        return match, {**found, "route": self}


static = Static("/static", StaticFiles(directory=STATIC), name="static")


def closed(page: HTMLResponse) -> HTMLResponse:
    """A page that can load nothing from elsewhere: ReDoc would fetch its maker's logo, and has no option against it.

    The one script that FastAPI writes into a page is let in by its hash.
    """
    sources = (
        f"script-src 'self'{headers.inline('script', bytes(page.body).decode())}",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "worker-src blob:",
    )
    page.headers.update(headers.page(*sources))
    return page


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    return JSONResponse(request.app.openapi())


@router.get("/docs")
async def swagger() -> Response:
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="Pamps",
        oauth2_redirect_url="/docs/oauth2-redirect",
        swagger_js_url="/static/swagger-ui-bundle.js",
        swagger_css_url="/static/swagger-ui.css",
        swagger_favicon_url="/static/favicon.png",
        swagger_ui_parameters={"validatorUrl": None, "persistAuthorization": True},
    )
    return closed(page)


@router.get("/docs/oauth2-redirect")
async def swagger_redirect() -> Response:
    return closed(get_swagger_ui_oauth2_redirect_html())


@router.get("/redoc")
async def redoc() -> Response:
    page = get_redoc_html(
        openapi_url="/openapi.json",
        title="Pamps",
        redoc_js_url="/static/redoc.standalone.js",
        redoc_favicon_url="/static/favicon.png",
        with_google_fonts=False,
    )
    return closed(page)
