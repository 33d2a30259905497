"""Clients that do a bit of everything, each for itself: read, write, sign in, refresh, hang up in the middle."""

import http.client
import json
import random
import socket
from collections import Counter
from threading import Event, Lock
from urllib.parse import urlencode
from uuid import uuid4

from benchmarks.cases import PASSWORD

HOST = "127.0.0.1"
TIMEOUT = 30.0  # seconds
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
# What clients do, and how often beside one another. They refresh their tokens about once a second, so that a server has
# soon seen as many as it keeps; more often gives no more of them, as a token differs by the second that it is of.
WEIGHTS = {"read": 60, "write": 25, "sign_in": 2, "refresh": 15, "wrong": 3, "hang_up": 4, "give_up": 3}
READS = ("/post/", "/post/?limit=100", "/user/", "/user/?q=soak", "/user/timeline/", "/user/me/", "/", "/openapi.json")
OF_POST = ("/post/{}/", "/post/{}/thread/", "/post/{}/likes/", "/post/{}/replies/")


class Outcomes:
    """How often what was done, by all clients together."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.lock = Lock()

    def note(self, what: str) -> None:
        with self.lock:
            self.counts[what] += 1


def register(port: int, username: str) -> str:
    """A new person: their username."""
    connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT)
    account = {"email": f"{username}@example.com", "username": username, "password": PASSWORD}
    connection.request("POST", "/user/", json.dumps(account), {"Content-Type": JSON})
    answer = connection.getresponse()
    if answer.status != 201:
        raise RuntimeError(f"{username} was not let in: {answer.status} {answer.read().decode()}")
    connection.close()
    return username


class Client:
    """One person at one client."""

    def __init__(self, port: int, username: str, seed: int, stop: Event, outcomes: Outcomes):
        self.port = port
        self.username = username
        self.chance = random.Random(seed)
        self.stop = stop
        self.outcomes = outcomes
        self.connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT)
        self.tokens: dict[str, str] = {}

    def run(self) -> None:
        """Do one thing after the other until told to stop.

        Raises RuntimeError for an answer that should not be, and tells all others to stop.
        """
        try:
            self.sign_in()
            while not self.stop.is_set():
                (what,) = self.chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
                getattr(self, what)()
                self.outcomes.note(what)
        finally:
            self.stop.set()
            self.connection.close()

    def ask(self, method: str, path: str, *fine: int, body: str = "", media_type: str = JSON) -> bytes:
        """The body of an answer whose status is one of those that are fine."""
        try:
            self.connection.request(method, path, body or None, self.headers(media_type if body else ""))
            answer = self.connection.getresponse()
            found = answer.read()
        except (http.client.RemoteDisconnected, ConnectionError):  # it was idle for too long
            self.connection.close()
            return self.ask(method, path, *fine, body=body, media_type=media_type)
        if answer.status not in fine:
            raise RuntimeError(f"{method} {path} was answered {answer.status}: {found.decode()[:500]}")
        return found

    def headers(self, media_type: str = "") -> dict[str, str]:
        found = {"Authorization": f"Bearer {self.tokens['access_token']}"} if self.tokens else {}
        if media_type:
            found |= {"Content-Type": media_type, "Idempotency-Key": f'"{uuid4()}"'}
        return found

    def post(self) -> int:
        """One of the first thousand posts, that there may be or not."""
        return self.chance.randint(1, 1000)

    def read(self) -> None:
        path = self.chance.choice((*READS, *OF_POST)).format(self.post())
        self.ask("GET", path, 200, 404)

    def write(self) -> None:
        what, post = self.chance.random(), self.post()
        if what < 0.6:
            parent = post if what < 0.2 else None
            self.ask("POST", "/post/", 201, 404, body=json.dumps({"text": "Rain. " * 20, "parent_id": parent}))
        elif what < 0.8:
            self.ask(self.chance.choice(["POST", "DELETE"]), f"/post/{post}/like/", 200, 201, 404)
        else:
            whom = self.chance.randint(1, 16)
            self.ask(self.chance.choice(["POST", "DELETE"]), f"/user/follow/{whom}/", 200, 201, 404, 409)

    def sign_in(self) -> None:
        if self.tokens:
            self.ask("POST", "/revoke_token", 200, body=json.dumps({"token": self.tokens["refresh_token"]}))
        self.tokens = {}
        form = urlencode({"username": self.username, "password": PASSWORD})
        self.tokens = json.loads(self.ask("POST", "/token", 200, body=form, media_type=FORM))

    def refresh(self) -> None:
        body = json.dumps({"refresh_token": self.tokens["refresh_token"]})
        self.tokens = json.loads(self.ask("POST", "/refresh_token", 200, body=body))
        self.ask("GET", "/user/me/", 200)

    def wrong(self) -> None:
        """What is refused: by its form, for want of what it names, or as a whole."""
        self.ask("POST", "/post/", 400, 422, body=self.chance.choice(["{", "{}", '{"text": ""}']))
        self.ask("GET", f"/nothing/{self.post()}", 404)
        self.ask("GET", "/post/?cursor=x", 422)

    def hang_up(self) -> None:
        """Half a request, and gone."""
        with socket.create_connection((HOST, self.port), TIMEOUT) as client:
            client.sendall(
                b"POST /post/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
            )

    def give_up(self) -> None:
        """A whole request, and gone before the answer; and a connection that is not used again."""
        path = self.chance.choice(READS)
        with socket.create_connection((HOST, self.port), TIMEOUT) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        self.connection.close()
