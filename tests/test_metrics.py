"""/metrics: closed unless it is opened, and right: the figures are those of what was asked, with several processes."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pamps.app import create_app
from pamps.config import Settings
from tests.api import Api, problem
from tests.commands import Commands
from tests.processes import Server, serving, until
from tests.test_watching import changed

TOKEN = "m3trics-0f-pamps-and-nobody-elses-business"
SHOWN = {"Authorization": f"Bearer {TOKEN}"}
Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def pamps(migrated_database: Callable[[], str], tmp_path: Path) -> Commands:
    return Commands(migrated_database(), tmp_path)


@pytest.fixture
def port() -> int:
    """A port that is free."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def two(pamps: Commands, port: int) -> Iterator[tuple[Server, int]]:
    """Two server processes, and the port of their metrics."""
    env = pamps.environment(metrics__port=port, metrics__token=TOKEN, server__coalesce="false")
    with serving(pamps.folder, env, "--workers", "2") as server:
        server.wait_until(lambda: server.output.count("Application startup complete") == 2)
        yield server, port


def figures(text: str) -> Figures:
    """Every figure, by its name and labels."""
    found: Figures = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def asked(port: int) -> Figures:
    answer = httpx2.get(f"http://127.0.0.1:{port}/metrics")
    assert answer.status_code == 200
    return figures(answer.text)


def labelled(found: Figures, name: str) -> dict[tuple[str, ...], float]:
    """The figures of one name, by the values of their labels in the order of the labels' names."""
    return {tuple(value for _, value in sorted(labels)): v for (one, labels), v in found.items() if one == name}


def pooled(found: Figures) -> float:
    """How many connections to the database all pools have."""
    return sum(labelled(found, "pamps_pool_idle").values()) + sum(labelled(found, "pamps_pool_busy").values())


def requests(found: Figures) -> dict[tuple[str, ...], float]:
    """How many requests there were, by method, route and status; without those that tests wait by."""
    counted = labelled(found, "pamps_request_seconds_count")
    return {key: count for key, count in counted.items() if key[1] not in ("/readyz", "/metrics")}


def test_nothing_is_counted_and_nobody_is_told_by_default(api: Api) -> None:
    assert problem(api.get("/metrics", headers=SHOWN)) == (404, "not-found")
    assert api.application.state.metrics is None


def test_a_port_of_its_own_opens_none_on_the_services(settings: Settings, empty: None, port: int) -> None:
    with Api(create_app(changed(settings, metrics={"port": port}))) as api:
        assert problem(api.get("/metrics", headers=SHOWN)) == (404, "not-found")


@pytest.mark.parametrize(
    "sent", [None, "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer é"]
)
def test_only_the_token_opens_it(settings: Settings, empty: None, sent: str | None) -> None:
    with Api(create_app(changed(settings, metrics={"token": TOKEN}))) as api:
        headers: Any = {"Authorization": sent.encode()} if sent else {}
        assert problem(api.get("/metrics", headers=headers)) == (401, "invalid-token")
        assert api.get("/metrics", headers=SHOWN).status_code == 200


def test_the_figures_are_those_of_what_was_asked(two: tuple[Server, int]) -> None:
    server, port = two
    ada = server.register("ada")
    for number in range(7):
        assert server.publish(ada, f"post {number}").status_code == 201
    for _ in range(5):
        with httpx2.Client(base_url=server.url) as client:  # a connection each, so that both processes get some
            assert client.get("/post/?limit=3").status_code == 200
            assert client.post("/token", data={"username": "ada", "password": "not mine"}).status_code == 401
            assert client.get("/user/me/").status_code == 401
            assert client.head("/post/1/").status_code == 200
            assert client.post("/post/", content="{", headers={"Content-Type": "application/json"}).status_code == 400
    expected = {
        ("POST", "/user/", "201"): 1,
        ("POST", "/token", "200"): 1,
        ("POST", "/post/", "201"): 7,
        ("GET", "/post/", "200"): 5,
        ("POST", "/token", "401"): 5,
        ("GET", "/user/me/", "401"): 5,
        ("HEAD", "/post/{id}/", "200"): 5,
        ("POST", "/post/", "400"): 5,
    }
    until(lambda: sum(requests(asked(port)).values()) == sum(expected.values()))  # counted when the answer is out
    found = asked(port)
    assert requests(found) == expected
    assert labelled(found, "pamps_problems_total") == {
        ("wrong-credentials",): 5,
        ("not-signed-in",): 5,
        ("malformed-body",): 5,
    }
    for (name, labels), value in found.items():
        if name == "pamps_request_seconds_bucket" and dict(labels)["le"] == "+Inf":
            others = labels - {("le", "+Inf")}
            assert value == found[("pamps_request_seconds_count", others)]
            assert 0 < found[("pamps_request_seconds_sum", others)] < 60 * value
    answer = server.request("GET", "/metrics", headers=SHOWN)
    assert answer.headers["content-type"] == "text/plain; version=1.0.0; charset=utf-8"
    assert requests(figures(answer.text)) == expected


def test_what_is_so_at_the_moment_is_of_all_processes(two: tuple[Server, int]) -> None:
    _, port = two
    # Each keeps two connections at least, and nobody is being answered: who asks at the other port does not count.
    until(lambda: 4 <= pooled(asked(port)) <= 16)
    found = asked(port)
    assert labelled(found, "pamps_requests_in_flight") == {(): 0}
    assert labelled(found, "pamps_pool_waiting") == {(): 0}
    assert labelled(found, "pamps_mail_waiting") == {(): 0}
    memory = labelled(found, "pamps_process_resident_memory_bytes")
    assert len(memory) == 2
    assert all(30_000_000 < value < 500_000_000 for value in memory.values())
    assert labelled(found, "pamps_process_cpu_seconds_total").keys() == memory.keys()
    assert labelled(found, "pamps_process_open_fds").keys() == memory.keys()


def test_it_is_told_how_often_kept_answers_are_given_again(two: tuple[Server, int]) -> None:
    server, port = two
    ada = server.register("kept")
    with httpx2.Client(base_url=server.url, headers=ada) as client:
        path = f"/post/{client.post('/post/', json={'text': 'x'}).json()['id']}/"
        for _ in range(10):  # in one process or in both
            assert client.get(path).status_code == 200

    def given() -> float:
        return labelled(asked(port), "pamps_kept_answers_asked_total").get(("given",), 0)

    until(lambda: given() >= 6)
    assert 1 <= labelled(asked(port), "pamps_kept_answers")[()] <= 2


def test_a_process_that_is_killed_leaves_what_it_counted_and_nothing_else(two: tuple[Server, int]) -> None:
    server, port = two
    for _ in range(6):
        with httpx2.Client(base_url=server.url) as client:
            assert client.get("/nothing").status_code == 404
    until(lambda: requests(asked(port)) == {("GET", "none", "404"): 6})
    before = labelled(asked(port), "pamps_process_open_fds").keys()
    victim = min(int(pid) for (pid,) in before)
    os.kill(victim, signal.SIGKILL)
    until(lambda: server.output.count("Application startup complete") == 3)
    until(lambda: len(labelled(asked(port), "pamps_process_open_fds")) == 2 and pooled(asked(port)) >= 4)
    found = asked(port)
    assert requests(found) == {("GET", "none", "404"): 6}
    after = labelled(found, "pamps_process_open_fds").keys()
    assert len(after) == 2
    assert (str(victim),) not in after


def test_addresses_that_are_made_up_are_one_label(settings: Settings, empty: None) -> None:
    with Api(create_app(changed(settings, metrics={"token": TOKEN}))) as api:
        for number in range(200):
            api.request(f"M{number}" if number % 2 else "GET", f"/{number}/x{number}?q={number}")
            api.get(f"/post/{10_000 + number}/")
            api.get(f"/user/nobody{number}/")
            api.get(f"/static/{number}")
        text = api.get("/metrics", headers=SHOWN).text
    assert requests(figures(text)) == {
        ("GET", "none", "404"): 100,
        ("OTHER", "none", "404"): 100,
        ("GET", "/post/{id}/", "404"): 200,
        ("GET", "/user/{username}/", "404"): 200,
        ("GET", "/static/{path}", "404"): 200,
    }


def test_the_directory_is_gone_in_the_end(pamps: Commands, port: int) -> None:
    temporary = pamps.folder / "tmp"
    temporary.mkdir()
    env = pamps.environment(metrics__port=port) | {"TMPDIR": str(temporary)}
    with serving(pamps.folder, env) as server:
        (directory,) = temporary.glob("pamps-metrics-*")
        assert list(directory.glob("*.db"))
        assert requests(asked(port)) == {}
        assert server.stop() == 0
    assert list(temporary.iterdir()) == []


def test_a_port_that_is_taken_is_said_in_one_line(pamps: Commands) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = pamps.refused("serve", "--port", "0", metrics__port=port)
    assert said == f"metrics.port: can't listen on 127.0.0.1 port {port}: address already in use"


def test_mail_that_waits_is_told(pamps: Commands, port: int) -> None:
    pamps.sql(
        "INSERT INTO pgqueuer (priority, entrypoint, status, execute_after) "
        "SELECT 1, 'mail', 'queued', now() + interval '1 day' FROM generate_series(1, 3)"
    )
    with serving(pamps.folder, pamps.environment(metrics__port=port)):
        until(lambda: labelled(asked(port), "pamps_mail_waiting") == {(): 3}, deadline=20)
