"""What a client may send, and how long it may take: `pamps serve`, and clients that send just what they are told."""

import json
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from time import monotonic
from typing import Any

import httpx2
import pytest

from pamps.connections.connection import PIPELINED
from tests.live import Connection
from tests.processes import DEADLINE, Server, environment, serving, until
from tests.test_metrics import SHOWN, TOKEN, figures, labelled, requests

HEAD = ("GET /livez HTTP/1.1", "Host: x")
BOUNDS = {
    "log__format": "json",
    "server__max_header_size": 4096,
    "server__max_headers": 20,
    "server__header_timeout": 1,
    "server__body_timeout": 1.5,
    "server__write_timeout": 1,
    "server__keep_alive_timeout": 2,
    "server__max_connections": 1500,
    "server__workers": 1,
}


@pytest.fixture(scope="module")
def server(uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server"), environment(db__uri=uri, **BOUNDS)) as server:
        yield server


@pytest.fixture
def port(server: Server) -> Iterator[int]:
    yield int(server.url.rsplit(":", 1)[1])
    # Whatever was sent, others are served; but for one whose connection was idle for so long that it ends just now.
    server.wait_until(lambda: server.status("/livez") == 200)
    assert server.complaints == []


def refused(connection: Connection) -> tuple[int, bytes]:
    """The status and the code of the problem that ends a connection."""
    status, code, _ = refusal(connection)
    return status, code


def refusal(connection: Connection) -> tuple[int, bytes, str]:
    """The same, and the id that the answer has."""
    status, headers, body = connection.head()
    body += connection.rest()
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert headers["x-content-type-options"] == "nosniff"
    assert int(headers["content-length"]) == len(body)
    return status, body.split(b'"code":"')[1].split(b'"')[0], headers["x-request-id"]


# What is in one read with the end of the head, or with some of the body, is let through: so more than that.
TOO_LARGE = {
    "an address": (b"GET /" + b"x" * 4096 + b" HTTP/1.1\r\nHost: x\r\n\r\n",),
    "a header": (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 4096 + b"\r\n\r\n",),
    "a name": (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"x" * 4096 + b": x\r\n\r\n",),
    "many small headers": (b"GET / HTTP/1.1\r\n" + b"X: x\r\n" * 21 + b"\r\n",),
    "a header without an end": (b"GET / HTTP/1.1\r\nHost: x\r\nX: ", *[b"x" * 1000] * 8),
    "an address without an end": (b"GET /", *[b"x" * 1000] * 8),
    "a trailer": (
        b"POST /token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n\r\n1\r\nx\r\n0\r\nX: ",
        *[b"x" * 1000] * 600,
    ),
    "an extension of a chunk": (
        b"POST /token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n\r\n1;",
        *[b"x" * 1000] * 600,
    ),
    "nothing but ends of lines": (*[b"\r\n" * 500] * 8,),
}


@pytest.mark.parametrize("sent", TOO_LARGE.values(), ids=TOO_LARGE)
def test_what_is_too_large_before_the_body_is_refused(port: int, sent: tuple[bytes, ...]) -> None:
    with Connection(port) as connection:
        for part in sent:
            connection.socket.sendall(part)
        assert refused(connection) == (431, b"headers-too-large")


def test_what_just_fits_is_answered(port: int) -> None:
    with Connection(port) as connection:
        for _ in range(2):
            connection.send(*HEAD, *["X: x"] * 18, "Y: " + "y" * 3900, "")
            assert answered(connection)


@pytest.mark.parametrize("sent", [b"hello", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"])
def test_what_is_no_request_is_told_so(port: int, sent: bytes) -> None:
    with Connection(port) as connection:
        connection.socket.sendall(sent + b"\r\n")
        assert refused(connection) == (400, b"malformed-request")


@pytest.mark.parametrize(
    "lines", [["GET / HTTP/1.1"], ["GET / HTTP/1.1", "Host: x", "Host: x"], ["GET / HTTP/1.0", "Host: x", "host: y"]]
)
def test_a_request_that_does_not_name_its_host_once_is_refused(port: int, lines: list[str]) -> None:
    with Connection(port) as connection:
        connection.send(*lines, "")
        assert refused(connection) == (400, b"malformed-request")


@pytest.mark.parametrize(
    ("version", "encoding"), [("1.1", "gzip, chunked"), ("1.1", "gzip"), ("1.0", "chunked"), ("2.0", "chunked")]
)
def test_a_body_that_others_may_see_the_end_of_elsewhere_is_refused(port: int, version: str, encoding: str) -> None:
    with Connection(port) as connection:
        connection.send(f"POST /token HTTP/{version}", "Host: x", f"Transfer-Encoding: {encoding}", "", "0", "")
        assert refused(connection) == (400, b"malformed-request")


def test_one_of_http_1_0_need_not_name_it(port: int) -> None:
    with Connection(port) as connection:
        connection.send("GET /livez HTTP/1.0", "")
        assert connection.head()[0] == 200


def drip(connection: Connection, sent: bytes) -> None:
    """Send byte by byte, one for each look that the server has at its connections, until it has had enough."""
    connection.socket.settimeout(0.2)
    for byte in sent:
        try:
            connection.socket.sendall(bytes([byte]))
            if connection.socket.recv(1, socket.MSG_PEEK):
                break
        except TimeoutError:
            continue
    connection.socket.settimeout(DEADLINE)


def test_a_head_that_comes_byte_by_byte_is_cut_off(port: int) -> None:
    with Connection(port) as connection:
        drip(connection, b"GET /livez HTTP/1.1\r\nX: " + b"x" * 1000)
        assert refused(connection) == (408, b"request-timeout")


def test_a_body_that_comes_byte_by_byte_is_cut_off(port: int) -> None:
    with Connection(port) as connection:
        connection.send("POST /token HTTP/1.1", "Host: x", "Content-Type: application/x-www-form-urlencoded")
        connection.send("Content-Length: 1000", "")
        drip(connection, b"x" * 1000)
        assert refused(connection) == (408, b"request-timeout")


def test_who_never_sends_anything_is_let_go(port: int) -> None:
    with Connection(port) as connection:
        assert connection.rest() == b""


def answered(connection: Connection) -> bytes:
    """The body of an answer after which the connection stays open."""
    status, headers, body = connection.head()
    assert (status, headers.get("connection")) == (200, None)
    while len(body) < int(headers["content-length"]):
        body += connection.socket.recv(65536)
    return body


REVOKE = ("POST /revoke_token HTTP/1.1", "Host: x", "Content-Type: application/json")
UPGRADE = ("Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__")
NOTHING_KNOWN = b'{"token":"x"}'


@pytest.mark.parametrize("protocol", ["h2c", "websocket", "TLS/1.0"])
def test_who_asks_for_another_protocol_is_answered_in_this_one(port: int, protocol: str) -> None:
    framings = [
        [f"Content-Length: {len(NOTHING_KNOWN)}", "", NOTHING_KNOWN.decode()],
        ["Transfer-Encoding: chunked", "", f"{len(NOTHING_KNOWN):x}", NOTHING_KNOWN.decode(), "0", "", ""],
    ]
    with Connection(port) as connection:
        for framing in framings * 2:
            lines = [*REVOKE, *UPGRADE, f"Upgrade: {protocol}", *framing]
            connection.socket.sendall("\r\n".join(lines).encode())
            assert answered(connection) == b"{}"


def test_a_body_that_comes_after_such_a_head_is_no_request(port: int) -> None:
    inner = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
    with Connection(port) as connection:
        length = f"Content-Length: {len(inner)}"
        connection.send(*REVOKE, *UPGRADE, "Upgrade: h2c", length, "Expect: 100-continue", "")
        assert connection.socket.recv(65536).startswith(b"HTTP/1.1 100 ")  # the head has been read
        connection.socket.sendall(inner)
        connection.send(*HEAD, "Connection: close", "")
        answers = connection.rest()
        assert (answers.count(b"HTTP/1.1 400 "), answers.count(b'"code":"malformed-body"')) == (1, 1)
        assert (answers.count(b"HTTP/1.1 "), answers.count(b'{"status":"ok"}')) == (2, 1)


def test_what_comes_with_one_that_asks_for_another_protocol_is_answered_as_well(port: int) -> None:
    asking = "\r\n".join([*HEAD, *UPGRADE, "Upgrade: h2c", "", ""])
    with Connection(port) as connection:
        connection.socket.sendall((asking * 3 + "\r\n".join([*HEAD, "Connection: close", "", ""])).encode())
        assert connection.rest().count(b"HTTP/1.1 200 OK") == 4


def test_a_tunnel_is_refused(port: int) -> None:
    with Connection(port) as connection:
        connection.send("CONNECT x:443 HTTP/1.1", "Host: x", "")
        assert refused(connection) == (400, b"malformed-request")


def test_what_follows_a_body_is_no_header(port: int) -> None:
    with Connection(port) as connection:
        lines = [*REVOKE, "Transfer-Encoding: chunked", "", f"{len(NOTHING_KNOWN):x}", NOTHING_KNOWN.decode(), "0"]
        connection.socket.sendall("\r\n".join([*lines, "X-Request-ID: told-too-late", "", ""]).encode())
        status, headers, _ = connection.head()
        assert status == 200
        assert headers["x-request-id"] != "told-too-late"


def test_a_connection_is_kept_for_another_request_and_not_for_ever(port: int) -> None:
    with Connection(port) as connection:
        for _ in range(3):
            connection.send(*HEAD, "")
            assert answered(connection) == b'{"status":"ok"}'
        assert connection.rest() == b""


def test_the_next_request_of_a_connection_has_to_come_in_time_too(port: int) -> None:
    with Connection(port) as connection:
        connection.send(*HEAD, "")
        assert answered(connection)
        drip(connection, b"GET /livez HTTP/1.1\r\nX: " + b"x" * 1000)
        assert refused(connection) == (408, b"request-timeout")


def test_who_does_not_read_the_answer_is_let_go(port: int) -> None:
    with closing(socket.socket()) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(DEADLINE)
        client.connect(("127.0.0.1", port))
        address = client.getsockname()[1]
        until(lambda: held(port, address))
        for _ in range(10):  # more than the buffers of both sides hold
            client.sendall(b"GET /static/redoc.standalone.js HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: not held(port, address))


def held(port: int, client: int) -> bool:
    """Whether the server has its end of a connection open: one that it closed has no inode (proc(5), /proc/net/tcp)."""
    ends = f"0100007F:{port:04X} 0100007F:{client:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return any(f"{row[1]} {row[2]}" == ends and row[9] != "0" for row in rows)


def test_who_was_answered_before_the_body_was_there_gets_no_second_answer(port: int) -> None:
    with Connection(port) as connection:
        connection.send("POST /token HTTP/1.1", "Host: x", "Content-Type: text/plain", "Content-Length: 1000", "", "x")
        status, headers, body = connection.head()
        assert status == 415
        body += connection.rest()
    assert len(body) == int(headers["content-length"])


def test_what_a_connection_refuses_is_logged_and_counted_like_any_request(uri: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_connections": 3, "max_header_size": 4096, "body_timeout": 1.5, "header_timeout": 1}
    env = environment(
        db__uri=uri,
        log__format="json",
        metrics__token=TOKEN,
        server__workers=1,
        **{f"server__{name}": value for name, value in settings.items()},
    )
    secret, answers = b"pr1vate-And-n0bodys-business", []
    with serving(tmp_path, env) as server, ExitStack() as stack:
        port = int(server.url.rsplit(":", 1)[1])
        server.http.close()
        for _ in range(3):
            stack.enter_context(Connection(port))
        with Connection(port) as one_more:
            answers.append(refusal(one_more))
        stack.close()
        with Connection(port) as connection:
            connection.socket.sendall(b"hello " + secret + b"\r\n")
            answers.append(refusal(connection))
        with Connection(port) as connection:
            connection.send(*HEAD, b"Authorization: Bearer " + secret, "X-Request-ID: mine", b"X: " + b"x" * 4096, "")
            answers.append(refusal(connection))
        with Connection(port) as connection:
            drip(connection, b"GET /livez?" + secret + b"x" * 1000)
            answers.append(refusal(connection))
        with Connection(port) as connection:
            connection.send("POST /token HTTP/1.1", "Host: x", "Content-Type: application/x-www-form-urlencoded")
            connection.send("X-Request-ID: mine", "Content-Length: 1000", "", b"password=" + secret)
            answers.append(refusal(connection))
        with Connection(port) as connection:
            connection.socket.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n" * (PIPELINED + 50))
            connection.rest()
        found = figures(httpx2.get(f"{server.url}/metrics", headers=SHOWN).text)
        lines = [json.loads(line) for line in server.output.splitlines() if '"code":' in line]
        assert secret.decode() not in server.output
    assert [(line["status"], line["code"].encode(), line["id"]) for line in lines[:-1]] == answers
    assert [answer[:2] for answer in answers] == [
        (503, b"overloaded"),
        (400, b"malformed-request"),
        (431, b"headers-too-large"),
        (408, b"request-timeout"),
        (408, b"request-timeout"),
    ]
    assert {line["client"] for line in lines} == {"127.0.0.1"}
    assert [(line["method"], line["route"]) for line in lines] == [(None, None)] * 4 + [
        ("POST", "/token"),
        (None, None),
    ]
    assert answers[4][2] == "mine"  # a request by then, and its own id
    assert (lines[5]["status"], lines[5]["code"]) == (None, "overloaded")
    assert all(line["bytes"] > 100 for line in lines[:-1])
    assert all(1 < line["ms"] / 1000 < DEADLINE for line in lines[3:5])
    assert requests(found) == {
        **{("OTHER", "none", status): 1 for status in ("503", "400", "431", "408", "0")},
        ("POST", "/token", "408"): 1,
    }
    assert labelled(found, "pamps_problems_total") == {
        ("overloaded",): 2,
        ("malformed-request",): 1,
        ("headers-too-large",): 1,
        ("request-timeout",): 2,
    }


def test_only_so_many_requests_wait_on_one_connection(port: int) -> None:
    with Connection(port) as connection:
        connection.socket.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n" * (PIPELINED + 50))
        assert connection.rest().count(b"HTTP/1.1 200") <= PIPELINED
    with Connection(port) as connection:
        connection.socket.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n" * PIPELINED)
        assert connection.rest().count(b"HTTP/1.1 200") == PIPELINED


@pytest.mark.parametrize("count", [1, 2, PIPELINED])
def test_who_asks_for_much_at_once_and_goes_is_no_mistake_of_ours(port: int, server: Server, count: int) -> None:
    before = server.output.count('"route":"/user/"')
    with Connection(port) as connection:
        connection.socket.sendall(b"GET /user/?q=x HTTP/1.1\r\nHost: x\r\n\r\n" * count)
        client = connection.socket.getsockname()[1]
        until(lambda: held(port, client))
    until(lambda: not held(port, client))
    until(lambda: server.output.count('"route":"/user/"') > before)


def test_thousands_of_idle_connections_hold_nobody_up_and_are_let_go(
    uri: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    wanted = 10_000 if request.config.getoption("--slow") else 1000
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wanted = min(wanted, hard - 500)
    env = environment(db__uri=uri, server__max_connections=wanted, server__header_timeout=5, server__workers=1)
    with serving(tmp_path, env) as server, ExitStack() as stack:
        port = int(server.url.rsplit(":", 1)[1])
        server.http.close()  # its own connection is one of those that count
        idle = [stack.enter_context(closing(Connection(port).socket)) for _ in range(wanted - 1)]
        with Connection(port) as last:
            last.send(*HEAD, "")
            assert last.head()[0] == 200
            with Connection(port) as one_more:
                assert refused(one_more) == (503, b"overloaded")
        began = monotonic()
        for one in idle:
            assert one.recv(1) == b""
        assert monotonic() - began < DEADLINE
        with Connection(port) as again:
            again.send(*HEAD, "")
            assert again.head()[0] == 200
