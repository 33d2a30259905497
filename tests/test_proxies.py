"""Who a client is behind a proxy: what it says of itself counts for nothing, what a trusted proxy says counts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.factories import PASSWORD
from tests.processes import Server, environment, serving

FORGED = "6.6.6.6"
CLIENT = "203.0.113.7"
HSTS = "strict-transport-security"


@contextmanager
def behind(uri: str, folder: Path, trusted: str) -> Iterator[Server]:
    # uvicorn's own variable, which must change nothing.
    env = environment(db__uri=uri, server__trusted_proxies=trusted) | {"FORWARDED_ALLOW_IPS": "*"}
    with serving(folder, env) as server:
        server.register("ada")
        yield server


def seen(server: Server, forwarded_for: str) -> str:
    """The address that the list of sessions shows of one who signs in with this header."""
    headers = {"X-Forwarded-For": forwarded_for}
    token = server.request("POST", "/token", data={"username": "ada", "password": PASSWORD}, headers=headers).json()
    sessions = server.request(
        "GET", "/user/me/sessions/", headers={"Authorization": f"Bearer {token['access_token']}"}
    ).json()
    (mine,) = (session for session in sessions if session["current"])
    return str(mine["ip"])


def is_https(server: Server, proto: str) -> bool:
    return HSTS in server.request("GET", "/livez", headers={"X-Forwarded-Proto": proto}).headers


def left(server: Server, forwarded_for: str) -> int:
    """How many requests more this address may make."""
    standing = server.request("GET", "/post/", headers={"X-Forwarded-For": forwarded_for}).headers["ratelimit"]
    return int(standing.split("r=")[1].split(";")[0])


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize("trusted", ["[]", "['10.0.0.0/8', '::1']"])
def test_what_a_client_says_of_its_address_counts_for_nothing(uri: str, tmp_path: Path, trusted: str) -> None:
    with behind(uri, tmp_path, trusted) as server:
        assert seen(server, FORGED) == "127.0.0.1"
        assert seen(server, f"{FORGED}, 10.0.0.1") == "127.0.0.1"
        assert not is_https(server, "https")
        assert left(server, FORGED) - 1 == left(server, CLIENT) == left(server, "6.6.6.7") + 1


@pytest.mark.usefixtures("empty")
def test_what_a_trusted_proxy_says_counts(uri: str, tmp_path: Path) -> None:
    with behind(uri, tmp_path, "['127.0.0.1', '10.0.0.0/8', 'fd00::/8']") as server:
        assert seen(server, CLIENT) == CLIENT
        assert seen(server, f"{CLIENT}:4711") == CLIENT
        assert seen(server, "2001:db8::7") == "2001:db8::7"
        # Each proxy adds the address that it saw: what stands before the first that is not ours, the client wrote.
        assert seen(server, f"{FORGED}, {CLIENT}") == CLIENT
        assert seen(server, f"10.9.9.9, {FORGED}, {CLIENT}, 10.1.2.3, fd00::1") == CLIENT
        assert is_https(server, "https")
        assert not is_https(server, "http")
        assert not is_https(server, "gopher")
        assert left(server, CLIENT) - 1 == left(server, f"{FORGED}, {CLIENT}") == left(server, "203.0.113.8") - 1
        assert left(server, "2001:db8::7") - 1 == left(server, "2001:db8::8")
