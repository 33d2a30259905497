"""The overload of the benchmark folder: who comes, is refused or gives up is counted as that, and it runs."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from benchmarks.arrivals import crowd, raw
from benchmarks.case import Request
from benchmarks.load import LoadError
from benchmarks.overload import HEADINGS, figures, share_ms
from tests.processes import benchmark, short_folder

RATE, PATIENCE, SECONDS = 100.0, 5.0, 0.3


class Answers(BaseHTTPRequestHandler):
    """Answers with the status that the path names; 0 is no answer until the test has ended."""

    protocol_version = "HTTP/1.1"
    ended: threading.Event

    def do_GET(self) -> None:
        assert self.headers["Authorization"] in (None, "Bearer secret")
        status = int(self.path[1:])
        if status == 0:
            self.ended.wait()
        self.send_response(status or 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *arguments: Any) -> None:
        pass


class Listener(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Those who gave up have hung up."""


@pytest.fixture
def port() -> Iterator[int]:
    Answers.ended = threading.Event()
    with Listener(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        Answers.ended.set()
        server.shutdown()
        thread.join()


def asked(*statuses: int) -> list[bytes]:
    return [raw(Request("GET", f"/{status}", 7), {7: "secret"}) for status in statuses]


def test_the_served_and_the_refused_are_told_apart(port: int) -> None:
    found = crowd(port, asked(200, 503, 201), RATE, PATIENCE, 0.0, SECONDS)
    served, refused = len(found.served), len(found.refused)
    assert served > refused > 0
    assert found.gave_up == 0
    assert served + refused <= found.offered == len(found.late)
    assert min(found.late) >= 0
    told = figures(found)
    assert (told.served, told.refused) == pytest.approx((served / SECONDS, refused / SECONDS))
    assert told.served_p50_ms is not None
    assert told.served_p99_ms is not None
    assert 0 < told.served_p50_ms <= told.served_p99_ms < PATIENCE * 1000


def test_who_is_not_answered_gives_up_and_keeps_nobody_out(port: int) -> None:
    found = crowd(port, asked(0, 200), RATE, 0.2, 0.2, SECONDS)
    assert found.gave_up > 0
    assert found.served
    assert found.refused == []
    assert figures(found).refused_p99_ms is None


def test_any_other_answer_ends_it(port: int) -> None:
    with pytest.raises(LoadError, match="answers of 500: "):
        crowd(port, asked(500), RATE, PATIENCE, 0.0, SECONDS)


def test_where_nobody_listens_it_ends(port: int) -> None:
    with pytest.raises(LoadError, match="no connection"):
        crowd(1, asked(200), RATE, 0.1, 0.0, SECONDS)


def test_99_of_100_wait_no_longer() -> None:
    waits = [number / 1000 for number in range(200, 0, -1)]
    assert share_ms(waits, 50) == pytest.approx(101)
    assert share_ms(waits, 99) == pytest.approx(199)
    assert share_ms([], 99) is None


def test_an_overload_runs_with_bounds_and_without() -> None:
    with short_folder() as folder:
        done = benchmark("overload", "--smoke", "--scale", "0.001", "--rounds", "1", "--directory", folder, cwd=folder)
    assert done.returncode == 0, done.stderr
    shown = " ".join(done.stdout.split())
    for word in (*HEADINGS, "bounds", "no bounds", "served, with bounds to without"):
        assert word in shown
