"""The benchmark's load and report: what is asked for is sent, failures are noticed, figures are reckoned right."""

import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree

import pytest
import typer

from benchmarks import load, processes
from benchmarks.__main__ import chosen
from benchmarks.case import Request
from benchmarks.chart import chart
from benchmarks.load import LoadError
from benchmarks.measure import Measure
from benchmarks.report import beside, ratio, spread
from tests.checkout import ROOT

Asked = tuple[str, str, str, str, str]


class Recorder(BaseHTTPRequestHandler):
    """Answers 200, or 500 on /broken, and remembers what was asked."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[Counter[Asked]] = Counter()

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        authorization, media_type = self.headers.get("Authorization", ""), self.headers.get("Content-Type", "")
        self.seen[self.command, self.path, authorization, media_type, body] += 1
        self.send_response(500 if self.path == "/broken" else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET  # noqa: N815

    def log_message(self, *arguments: Any) -> None:
        pass


class Listener(ThreadingHTTPServer):
    request_queue_size = 128  # wrk's connections come all at once
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """wrk ends by closing its connections."""


@pytest.fixture
def recorder() -> Iterator[int]:
    """The port of a server that remembers."""
    Recorder.seen.clear()
    with Listener(("127.0.0.1", 0), Recorder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


REQUESTS = [
    Request("GET", "/"),
    Request("POST", "/post/", 7, '{"text": "Olá"}'),
    Request("POST", "/token", body="username=ada", media_type="application/x-www-form-urlencoded"),
]
RECORDED = {
    ("GET", "/", "", "", ""),
    ("POST", "/post/", "Bearer secret", "application/json", '{"text": "Olá"}'),
    ("POST", "/token", "", "application/x-www-form-urlencoded", "username=ada"),
}


def test_wrk_sends_every_request_or_is_said_to_be_missing(recorder: int, tmp_path: Path) -> None:
    if shutil.which("wrk") is None:
        with pytest.raises(LoadError, match="apt-get install wrk"):
            load.wrk(recorder, REQUESTS, {7: "secret"}, tmp_path, 1)
        return
    found = load.wrk(recorder, REQUESTS, {7: "secret"}, tmp_path, 1)
    assert Recorder.seen.keys() == RECORDED
    assert 0 < found.requests <= Recorder.seen.total()
    assert found.p50_ms is not None
    assert found.p99_ms is not None
    assert 0 < found.p50_ms <= found.p99_ms
    with pytest.raises(LoadError, match="requests failed"):
        load.wrk(recorder, [Request("GET", "/broken")], {}, tmp_path, 1)


def test_a_plain_load_sends_them_too(recorder: int) -> None:
    assert load.plain(recorder, REQUESTS, {7: "secret"}, 6).requests == 6
    assert dict(Recorder.seen) == dict.fromkeys(RECORDED, 2)
    with pytest.raises(LoadError, match="GET /broken: 500"):
        load.plain(recorder, [Request("GET", "/broken")], {}, 1)


def test_without_wrk_a_run_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(LoadError, match="apt-get install wrk"):
        load.find_wrk()


def test_a_benchmark_that_is_ended_takes_away_what_it_has_made(tmp_path: Path) -> None:
    program = f"""
import signal, tempfile
from benchmarks import command
def wait() -> None:
    with tempfile.TemporaryDirectory(dir={str(tmp_path)!r}):
        print("made", flush=True)
        signal.pause()
command.run(wait)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "made\n"
        process.terminate()
        assert process.wait(60) == 143
    assert list(tmp_path.iterdir()) == []


def test_a_process_has_used_what_it_and_its_children_have_used() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass\n"
    wait = "print(flush=True)\ninput()"
    children = [[sys.executable, "-c", burn], [sys.executable, "-c", burn + wait]]
    parent = f"import subprocess\nfor child in {children!r}: subprocess.run(child)"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        process.stdout.readline()
        used, largest = processes.cpu_seconds(process.pid), processes.largest_mb(process.pid)
        process.communicate("\n")
    if sys.platform != "linux":
        assert used is largest is None
    else:
        assert used is not None
        assert largest is not None
        assert 0.6 <= used + 0.04 < 6
        assert 1 < largest < 100


def test_a_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    def measured(*rates: float) -> list[Measure]:
        return [Measure(rate, None, None, None, None) for rate in rates]

    assert ratio(measured(100, 50, 300), measured(10, 10, 10)) == {"median": 10, "min": 5, "max": 30}
    assert ratio(measured(100, 50), measured(10, 2)) == {"median": 17.5, "min": 10, "max": 25}
    assert ratio(measured(100, 50), measured(10, 0)) == {"median": 10, "min": 10, "max": 10}
    assert beside({"pamps": measured(4), "textbook": measured(2), "asgi": measured(8), "none": None}, "pamps") == {
        "textbook": {"median": 2, "min": 2, "max": 2},
        "asgi": {"median": 0.5, "min": 0.5, "max": 0.5},
    }
    assert beside({"textbook": measured(2)}, "pamps") == {}
    assert ratio(measured(1), measured(0)) is None
    assert ratio(measured(1), None) is None
    assert spread([None, None]) is None
    assert spread([12345.6, None, 1]) == {"median": 6173, "min": 1, "max": 12350}


def test_the_chart_shows_the_ratios() -> None:
    one = {"median": 12.34, "min": 11.0, "max": 13.0}
    share = {"median": 0.456, "min": 0.4, "max": 0.5}
    cases = [
        {"title": "a list & more", "ratios": {"textbook": one, "pgbench": share}, "ratios_apart": {"pgbench": share}},
        {"title": "a thread", "ratios": {"pgbench": share}},
        {"title": "nothing", "ratios": {}},
    ]
    found = chart({"cases": cases, "rounds": 5, "posts": 1_000_000, "connections": 32, "workers": 2})
    texts = [element.text for element in ElementTree.fromstring(found).iter("{http://www.w3.org/2000/svg}text")]
    assert texts[2:] == [
        "1,000,000 posts, 32 connections, 2 workers, medians of 5 rounds; thin bars: each answer read anew",
        *("a list & more", "12.3 times", "0.46"),
        *("a thread", "0.46"),
    ]
    assert found.count('class="apart"') == 1


def test_cases_and_candidates_are_chosen_by_name() -> None:
    known = ["public-list", "timeline-ordinary", "timeline-busy", "like", "like-hot"]
    assert chosen("", known) == known
    assert chosen("timeline, public-list", known) == known[:3]
    assert chosen("like-hot", known) == ["like-hot"]
    with pytest.raises(typer.BadParameter, match="there is no nothing, all; there are public-list"):
        chosen("nothing,all", known)
