"""FastAPI's own OpenTelemetry: switched on, and told what our way with requests keeps from it.

Its settings say whether, OpenTelemetry's own variables where to (`OTEL_EXPORTER_OTLP_ENDPOINT`) and under which name.
"""

import os
from typing import TYPE_CHECKING, Any

from fastapi.telemetry import TelemetryConfig
from fastapi.telemetry._api import _route_selected, _validation_failed
from fastapi.telemetry._asgi import _exception
from opentelemetry import trace
from starlette.types import Scope

from pamps.config import Telemetry
from pamps.logs import ROUTE

if TYPE_CHECKING:  # what it is of, pamps[telemetry] brings along
    from opentelemetry.sdk.trace import Span

IN_SCOPE = "fastapi.telemetry"  # of each request that is told of
PATIENCE = "3"  # seconds
REDACTED = "REDACTED"  # the word that OpenTelemetry's conventions have for it

validation_failed = _validation_failed


def config(settings: Telemetry) -> TelemetryConfig:
    """What FastAPI takes. Switched off, it costs a request nothing."""
    on = settings.tracing or settings.metrics or settings.logs
    if on:  # what is left at the end is sent then, and OpenTelemetry's own ten seconds for each kind would hold that up
        os.environ.setdefault("OTEL_EXPORTER_OTLP_TIMEOUT", PATIENCE)
    return {**settings.model_dump(), "auto_configure": on}  # type: ignore[typeddict-item]


def route_found(scope: Scope) -> None:
    """Tell of the route of a request that another one was answered with."""
    if IN_SCOPE in scope and ROUTE in scope:
        _route_selected(scope=scope, path=scope[ROUTE].path_format)


def failed(scope: Scope, error: Exception) -> None:
    """Tell of an error that nobody expected, before it is answered."""
    if IN_SCOPE in scope:
        _exception(scope=scope, exc=error)


def keep_private() -> None:
    """Leave path and query out of all spans: those may hold what is private, and the route is told anyway."""
    provider: Any = trace.get_tracer_provider()
    if not hasattr(provider, "add_span_processor"):  # nobody takes any
        return
    from opentelemetry.sdk.trace import SpanProcessor

    class Redacting(SpanProcessor):
        def on_start(self, span: "Span", parent_context: Any = None) -> None:
            for name in {"url.path", "url.query"} & (span.attributes or {}).keys():
                span.set_attribute(name, REDACTED)

    provider.add_span_processor(Redacting())
