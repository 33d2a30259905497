"""FastAPI's own OpenTelemetry, switched on by the settings: what a collector receives from a real process."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from pamps import telemetry
from pamps.config import Telemetry
from tests.api import Api
from tests.commands import Commands
from tests.processes import serving, until

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
EMAIL = "ada@example.com"


class Collector:
    """What OpenTelemetry sends to: keeps what it receives."""

    def __init__(self) -> None:
        self.received: list[tuple[str, bytes]] = []
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that name it, and have all be sent soon."""
        port = self.server.server_address[1]
        soon = {"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_BLRP_SCHEDULE_DELAY": "50", "OTEL_METRIC_EXPORT_INTERVAL": "100"}
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", **soon}

    def of(self, path: str, kind: Any) -> list[Any]:
        return [kind.FromString(body) for at, body in list(self.received) if at == path]

    def spans(self) -> list[Any]:
        """Of requests: those inside them are of FastAPI's making."""
        sent = self.of("/v1/traces", ExportTraceServiceRequest)
        spans = [span for one in sent for of in one.resource_spans for scope in of.scope_spans for span in scope.spans]
        return [span for span in spans if span.kind == span.SPAN_KIND_SERVER and not span.name.endswith("/readyz")]

    def events(self) -> list[Any]:
        sent = self.of("/v1/logs", ExportLogsServiceRequest)
        return [
            event for one in sent for of in one.resource_logs for scope in of.scope_logs for event in scope.log_records
        ]

    def metrics(self) -> set[str]:
        sent = self.of("/v1/metrics", ExportMetricsServiceRequest)
        return {
            m.name for one in sent for of in one.resource_metrics for scope in of.scope_metrics for m in scope.metrics
        }


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.server.serve_forever)
    thread.start()
    yield collector
    collector.server.shutdown()
    thread.join()
    collector.server.server_close()


@pytest.fixture
def pamps(migrated_database: Callable[[], str], tmp_path: Path) -> Commands:
    return Commands(migrated_database(), tmp_path)


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def test_a_trace_arrives_and_has_the_route(pamps: Commands, collector: Collector) -> None:
    env = pamps.environment(telemetry__tracing="true") | collector.environment
    with serving(pamps.folder, env) as server:
        traced = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        server.request("GET", f"/user/?q={EMAIL}", headers=traced)
        server.request("GET", "/user/ada/")
        server.request("POST", "/token", data={"username": EMAIL, "password": "wrong"})
        server.request("GET", f"/{EMAIL}")
        until(lambda: len(collector.spans()) == 4)
    spans = {span.name: span for span in collector.spans()}
    assert spans.keys() == {"GET /user/", "GET /user/{username}/", "POST /token", "GET"}
    assert spans["GET /user/"].trace_id.hex() == TRACE
    assert spans["GET /user/"].parent_span_id.hex() == PARENT
    told = attributes(spans["GET /user/"])
    assert (told["http.route"], told["http.response.status_code"]) == ("/user/", 200)
    assert attributes(spans["POST /token"])["http.response.status_code"] == 401
    assert EMAIL not in str(collector.spans())
    assert "ada" not in str(collector.spans())
    assert collector.events() == []
    assert collector.metrics() == set()


def test_requests_answered_together_have_a_span_each(pamps: Commands, collector: Collector) -> None:
    env = pamps.environment(telemetry__tracing="true") | collector.environment
    with serving(pamps.folder, env) as server, ThreadPoolExecutor(16) as threads:
        assert list(threads.map(server.status, ["/post/"] * 64)) == [200] * 64
        until(lambda: len(collector.spans()) == 64)
    assert {span.name for span in collector.spans()} == {"GET /post/"}
    assert {attributes(span)["http.route"] for span in collector.spans()} == {"/post/"}


def test_metrics_and_events_arrive(pamps: Commands, collector: Collector) -> None:
    pamps.sql("ALTER TABLE \"user\" ADD CONSTRAINT unforeseen CHECK (username <> 'unlucky')")
    env = pamps.environment(telemetry__metrics="true", telemetry__logs="true") | collector.environment
    with serving(pamps.folder, env) as server:
        unlucky = {"email": EMAIL, "username": "unlucky", "password": "correct horse battery"}
        assert server.request("POST", "/user/", json=unlucky).status_code == 500
        assert server.request("GET", "/post/?limit=0").status_code == 422
        assert server.request("POST", "/token", data={"username": "ada"}).status_code == 422
        assert server.request("GET", "/post/1/").status_code == 404
        until(lambda: len(collector.events()) == 3)
        until(lambda: "http.server.request.duration" in collector.metrics())
        server.expected = {"a mistake of ours: CheckViolationError"}
    told = sorted((event.event_name, attributes(event)["http.route"]) for event in collector.events())
    assert told == [
        ("fastapi.validation.failed", "/post/"),
        ("fastapi.validation.failed", "/token"),
        ("http.server.request.exception", "/user/"),
    ]
    assert collector.spans() == []


@pytest.mark.parametrize(
    ("on", "said", "found"), [(True, None, "3"), (True, "7", "7"), (False, None, None)], ids=["on", "told", "off"]
)
def test_a_collector_that_is_away_holds_the_end_up_for_seconds(
    monkeypatch: pytest.MonkeyPatch, on: bool, said: str | None, found: str | None
) -> None:
    monkeypatch.setattr("os.environ", {"OTEL_EXPORTER_OTLP_TIMEOUT": said} if said else {})
    telemetry.config(Telemetry(tracing=on, metrics=False, logs=False))
    assert os.environ.get("OTEL_EXPORTER_OTLP_TIMEOUT") == found


def test_it_is_off_by_default(api: Api) -> None:
    application: Any = api.application
    assert {application._telemetry[name] for name in ("tracing", "metrics", "logs", "auto_configure")} == {False}
