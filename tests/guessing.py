"""Whoever guesses passwords: from any address, and with all the time there is."""

from httpx2 import Response
from sqlalchemy import Engine, text

from tests.api import Api, problem
from tests.factories import PASSWORD

HOME, HOME_TOO, FAR = "192.0.2.7", "192.0.2.250", "203.0.113.9"  # the first two are neighbours
WRONG = (401, "wrong-credentials")
EARLY = (429, "too-many-attempts")


def at(api: Api, host: str) -> Api:
    """The same service, asked from another address."""
    client = Api(api.application, client=(host, 50000))
    client.portal = api.portal  # the loop that the service runs in
    return client


def sign_in(api: Api, login: str = "ada", password: str = PASSWORD, **more: str) -> Response:
    return api.post("/token", data={"username": login, "password": password, **more})


def wrong(api: Api, login: str = "ada") -> tuple[int, str]:
    return problem(sign_in(api, login, "a wrong one"))


def wait(response: Response) -> int:
    """How long until the next guess, in seconds: as the tests' settings make it, 100 and twice that and so on.

    Rounded up to a hundred, for the time that the test takes itself.
    """
    assert problem(response) == EARLY
    seconds = int(response.headers["retry-after"])
    assert f"({seconds} s)" in response.json()["detail"]
    return -seconds // 100 * -100


def later(engine: Engine, seconds: float) -> None:
    """Let time go by, for all that was guessed so far."""
    with engine.begin() as connection:
        connection.execute(text("UPDATE attempt SET last_at = last_at - make_interval(secs => :s)"), {"s": seconds})


def failures(engine: Engine, kind: str, name: str) -> float | None:
    """How many guesses are counted, rounded as the delays are."""
    query = text("SELECT round(failures) FROM attempt WHERE key = attempt_key(:kind, :name)")
    with engine.connect() as connection:
        found: float | None = connection.scalar(query, {"kind": kind, "name": name})
        return found
