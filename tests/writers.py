"""Clients that write all the time, send again what they have no answer to, and know what was acknowledged."""

import http.client
import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from secrets import token_hex
from threading import Event
from uuid import uuid4

from tests.clusters import Cluster
from tests.processes import DEADLINE, Server, until

CLIENTS = 16
AGAIN = {409, 429, 503}  # refused for now, and nothing written
BETWEEN = 0.02  # seconds before the next try


class Cut(Exception):
    """An answer that has begun, and never ended."""


@dataclass
class Writer:
    """One client, on a connection of its own for as long as that lasts. What it writes it has thought of itself."""

    port: int
    name: str
    headers: dict[str, str]
    patient: bool  # whether it sends again what it has no answer to
    stop: Event
    acknowledged: dict[str, int] = field(default_factory=dict)  # the ids of posts, by their text
    refused: Counter[int] = field(default_factory=Counter)

    def write(self) -> None:
        """Publish one post after the other until told to stop, or for the impatient until a connection is lost."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        while not self.stop.is_set():
            text, key = f"{self.name}-{len(self.acknowledged)}", f'"{uuid4()}"'
            while text not in self.acknowledged:
                status, body = self.ask(connection, text, key)
                if status == 201:
                    self.acknowledged[text] = json.loads(body)["id"]
                    continue
                assert status == 0 or status in AGAIN, (status, body)
                self.refused[status] += 1
                connection.close()
                if not self.patient:
                    return
                time.sleep(BETWEEN)  # as a client should, who is told that it is too early
        connection.close()

    def ask(self, connection: http.client.HTTPConnection, text: str, key: str) -> tuple[int, bytes]:
        """The status and the body of an answer, a status of 0 where none came. Raises Cut for half of one."""
        headers = {**self.headers, "Content-Type": "application/json", "Idempotency-Key": key}
        try:
            connection.request("POST", "/post/", json.dumps({"text": text}), headers)
            answer = connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError):
            return 0, b""
        except http.client.HTTPException as error:
            raise Cut(repr(error)) from error
        try:
            return answer.status, answer.read()
        except (http.client.HTTPException, ConnectionError) as error:
            raise Cut(repr(error)) from error


@dataclass
class Writers:
    """All of the clients."""

    name: str
    each: list[Writer]
    running: list[Future[None]]
    stop: Event

    @property
    def acknowledged(self) -> dict[str, int]:
        return {text: post for writer in self.each for text, post in dict(writer.acknowledged).items()}

    def wait_for(self, more: int) -> None:
        """Until so many more have been acknowledged to every client."""
        goals = [len(writer.acknowledged) + more for writer in self.each]

        def reached() -> bool:
            assert self.stop.is_set() or not any(one.done() for one in self.running), [
                one.exception() for one in self.running if one.done()
            ]
            return all(len(writer.acknowledged) >= goal for writer, goal in zip(self.each, goals, strict=True))

        until(reached)

    def finish(self) -> None:
        """Let each end what it is about. Raises what went wrong with any."""
        self.stop.set()
        for one in self.running:
            one.result(DEADLINE)

    def refused(self) -> Counter[int]:
        return sum((writer.refused for writer in self.each), Counter[int]())


@contextmanager
def writing(server: Server, patient: bool = True, clients: int = CLIENTS) -> Iterator[Writers]:
    """Clients that write to a server, until this ends at the latest."""
    name, stop = token_hex(4), Event()
    people = [server.register(f"w{name}-{number}") for number in range(4)]
    port = int(server.url.rsplit(":", 1)[1])
    each = [Writer(port, f"{name}-{number}", people[number % 4], patient, stop) for number in range(clients)]
    with ThreadPoolExecutor(clients) as threads:
        try:
            yield Writers(name, each, [threads.submit(writer.write) for writer in each], stop)
        finally:
            stop.set()


def check(writers: Writers, cluster: Cluster) -> None:
    """Every acknowledged post is there, by its id, and none is there twice."""
    rows = cluster.column(f"SELECT id || ' ' || text FROM post WHERE text LIKE '{writers.name}-%'")
    there = [(text, int(post)) for post, text in (row.split(" ") for row in rows)]
    assert Counter(text for text, _ in there).most_common(1)[0][1] == 1
    assert writers.acknowledged.items() <= dict(there).items()
    # Whoever does not send again may not know of the last one.
    unknown = len(there) - len(writers.acknowledged)
    assert unknown == 0 if writers.each[0].patient else unknown <= CLIENTS
