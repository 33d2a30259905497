"""A body that is too large is refused before it is read whole, and one that breaks off is nobody's mistake."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from pamps.app import create_app
from pamps.config import Settings
from tests.api import Api, problem
from tests.document import OPERATIONS, WITH_FORM, WITH_JSON, Operation
from tests.factories import World
from tests.live import Connection, served
from tests.tables import unchanged

LIMIT = 1_000_000
CHUNK = 65536
HUGE = 10_000_000
WITH_BODY = {one: one.media_types[0] for one in (*WITH_JSON, *WITH_FORM)}


@pytest.fixture(scope="module")
def port(settings: Settings) -> Iterator[int]:
    with served(create_app(settings)) as port:
        yield port


class Upload:
    """A request with a body that comes in chunks, and no Content-Length: what of it was read, what was answered.

    One that `breaks_off` does so after the first chunk.
    """

    def __init__(
        self,
        api: Api,
        operation: Operation,
        media_type: str,
        size: int,
        breaks_off: bool = False,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ):
        self.size = size
        self.breaks_off = breaks_off
        self.read = 0
        self.answer: list[Any] = []
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": operation.method,
            "scheme": "http",
            "path": operation.url,
            "raw_path": operation.url.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [
                *((b"host", b"x"), (b"transfer-encoding", b"chunked"), (b"content-type", media_type.encode())),
                *headers,
            ],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        assert api.portal is not None
        api.portal.call(api.application, scope, self.receive, self.send)

    async def receive(self) -> dict[str, Any]:
        if self.breaks_off and self.read:
            return {"type": "http.disconnect"}
        chunk = b"x" * min(CHUNK, self.size - self.read)
        self.read += len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": self.read < self.size}

    async def send(self, message: Any) -> None:
        self.answer.append(message)

    @property
    def status(self) -> int:
        return int(self.answer[0]["status"])


def test_a_body_without_a_length_is_read_only_so_far(api: Api, engine: Engine) -> None:
    with unchanged(engine):
        for operation, media_type in WITH_BODY.items():
            upload = Upload(api, operation, media_type, HUGE)
            assert upload.status == 413, operation
            assert b'"body-too-large"' in upload.answer[1]["body"]
            assert LIMIT < upload.read <= LIMIT + CHUNK, operation


def test_a_body_of_just_the_limit_is_read(api: Api, engine: Engine) -> None:
    with unchanged(engine):
        for operation, media_type in WITH_BODY.items():
            upload = Upload(api, operation, media_type, LIMIT)
            assert upload.status in (400, 422), operation  # for what it says
            assert upload.read == LIMIT, operation


@pytest.mark.parametrize("headers", [(), ((b"idempotency-key", b"a"),)], ids=["without_a_key", "with_a_key"])
def test_a_body_that_breaks_off_is_malformed(
    api: Api, engine: Engine, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    with unchanged(engine):
        for operation, media_type in WITH_BODY.items():
            upload = Upload(api, operation, media_type, LIMIT, breaks_off=True, headers=headers)
            assert upload.status == 400, operation
            assert b'"malformed-body"' in upload.answer[1]["body"]


def test_a_body_that_says_it_is_too_large_is_refused_unread(port: int, world: World, engine: Engine) -> None:
    with unchanged(engine):
        for operation, media_type in WITH_BODY.items():
            with Connection(port) as connection:
                head = f"{operation.method} {operation.url} HTTP/1.1"
                connection.send(head, "Host: x", f"Content-Type: {media_type}", f"Content-Length: {HUGE}", "")
                status, headers, _ = connection.head()  # which comes though nothing of the body was sent
                assert (status, headers["content-type"]) == (413, "application/problem+json"), operation


def test_a_body_in_chunks_is_refused_before_it_has_ended(port: int, world: World, engine: Engine) -> None:
    with unchanged(engine), Connection(port) as connection:
        head = "POST /user/ HTTP/1.1"
        connection.send(head, "Host: x", "Content-Type: application/json", "Transfer-Encoding: chunked", "")
        for _ in range(LIMIT // CHUNK + 1):
            connection.send(f"{CHUNK:x}", b"x" * CHUNK)
        status, headers, _ = connection.head()  # which comes though the last chunk was not sent
        assert (status, headers["content-type"]) == (413, "application/problem+json")


def test_every_route_that_writes_says_so(api: Api, engine: Engine) -> None:
    with unchanged(engine):
        for operation in OPERATIONS:
            if operation.method != "GET":
                response = api.request(operation.method, operation.url, content=b"x" * (LIMIT + 1))
                assert problem(response) == (413, "body-too-large"), operation
                assert response.json()["detail"] == "the body may have 1000000 bytes, not 1000001"
