"""The benchmark is alive: its data are as they should be, every case is answered, alike by all. No time is asserted."""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from benchmarks import load, servers
from benchmarks.case import Case, Request, Script
from benchmarks.cases import CASES
from benchmarks.ground import Ground, prepare
from benchmarks.textbook import database, main
from pamps import embedded
from pamps.app import create_app
from pamps.config import Settings
from pamps.db.database import Database
from pamps.queries import post as posts
from pamps.queries import tally as tallies
from tests.api import Api
from tests.network import LAYOUT, fingerprint, rows
from tests.processes import benchmark, short_folder

READS = [case for case in CASES if case.in_textbook and not case.writes]


def named(case: Case) -> str:
    return case.name


@pytest.fixture(scope="module")
def ground(new_database: Callable[[], str], settings: Settings) -> Ground:
    """A thousandth of the network."""
    return prepare(new_database(), LAYOUT, settings.security)


@pytest.fixture(scope="module")
def pamps(ground: Ground, settings: Settings) -> Iterator[Api]:
    db = settings.db.model_copy(update={"uri": ground.uri})
    with Api(create_app(settings.model_copy(update={"db": db}))) as api:
        yield api


@pytest.fixture(scope="module")
def textbook(ground: Ground, settings: Settings) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch, TestClient(main.app) as client:
        patch.setenv("TEXTBOOK_DATABASE_URL", ground.uri.replace("postgresql://", "postgresql+psycopg2://"))
        patch.setenv("TEXTBOOK_SECRET_KEY", settings.security.secret_key)
        database.get_engine.cache_clear()
        yield client
        database.get_engine().dispose()


@pytest.fixture(scope="module")
def tokens(ground: Ground) -> dict[int, str]:
    return ground.tokens()


def sent(client: TestClient, request: Request, tokens: dict[int, str]) -> Response:
    headers = {"Content-Type": request.media_type} if request.body else {}
    if request.user:
        headers["Authorization"] = f"Bearer {tokens[request.user]}"
    found: Response = client.request(request.method, request.path, headers=headers, content=request.body or None)
    return found


@pytest.mark.parametrize("case", CASES, ids=named)
def test_pamps_answers_every_case(case: Case, ground: Ground, pamps: Api, tokens: dict[int, str]) -> None:
    requests = case.requests(ground.place)
    for request in (*requests[:3], *requests[-3:]):
        assert sent(pamps, request, tokens).status_code in (200, 201)
    ground.restore(case)


def test_the_textbook_sees_likes_as_pamps_does(
    ground: Ground, pamps: Api, textbook: TestClient, tokens: dict[int, str]
) -> None:
    reader = LAYOUT.readers["ordinary"].first
    timeline = Request("GET", "/user/timeline/", reader)
    third = sent(pamps, timeline, tokens).json()[2]["id"]
    for method, liked in (("POST", [third]), ("DELETE", [])):
        sent(pamps, Request(method, f"/post/{third}/like/", reader), tokens)
        for client in (pamps, textbook):
            assert [post["id"] for post in sent(client, timeline, tokens).json() if post["liked"]] == liked


@pytest.mark.parametrize("case", READS, ids=named)
def test_the_textbook_reads_what_pamps_reads(
    case: Case, ground: Ground, pamps: Api, textbook: TestClient, tokens: dict[int, str]
) -> None:
    ours, theirs = case.requests(ground.place)[:5], case.requests_for("textbook", ground.place)[:5]
    for one, other in zip(ours, theirs, strict=True):
        found = plain(sent(pamps, one, tokens).json())
        assert found
        assert plain(sent(textbook, other, tokens).json()) == found


def plain(body: Any) -> Any:
    """A body with times as times: the textbook leaves out a fraction of zero."""
    if isinstance(body, list):
        return [plain(item) for item in body]
    if isinstance(body, dict):
        return {
            name: datetime.fromisoformat(item) if name in ("date", "created_at") else plain(item)
            for name, item in body.items()
        }
    return body


def test_the_textbook_writes_what_pamps_writes(
    ground: Ground, pamps: Api, textbook: TestClient, tokens: dict[int, str]
) -> None:
    by_name = {case.name: case for case in CASES}
    publish = by_name["publish"].requests(ground.place)[0]
    ours, theirs = (sent(client, publish, tokens) for client in (pamps, textbook))
    new = {"id": 0, "date": ""}
    assert ours.json() | new == theirs.json() | new
    assert ours.status_code == theirs.status_code == 201
    requests = by_name["like"].requests(ground.place)
    like, unlike = requests[0], requests[len(requests) // 2]
    for request, liked in ((like, True), (unlike, False)):
        theirs = sent(textbook, request, tokens)
        assert theirs.status_code in (200, 201)
        assert theirs.json()["liked"] is liked
        assert plain(sent(pamps, request, tokens).json()) == plain(theirs.json())
    for case in ("publish", "like"):
        ground.restore(by_name[case])


def test_the_textbook_lets_in_whom_it_knows(ground: Ground, textbook: TestClient, tokens: dict[int, str]) -> None:
    (login,) = (case for case in CASES if case.name == "login")
    right = login.requests(ground.place)[0]
    token = sent(textbook, right, tokens).json()["access_token"]
    assert textbook.get("/user/timeline/", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert textbook.get("/user/timeline/", headers={"Authorization": "Bearer none"}).status_code == 401
    wrong = Request("POST", "/token", body=right.body + "x", media_type=right.media_type)
    assert sent(textbook, wrong, tokens).status_code == 401


def test_what_a_case_has_written_is_taken_away(ground: Ground, pamps: Api, tokens: dict[int, str]) -> None:
    before = fingerprint(ground.uri)
    for case in CASES:
        if case.writes:
            for request in case.requests(ground.place)[:3]:
                sent(pamps, request, tokens)
            assert fingerprint(ground.uri) != before
            ground.restore(case)
            assert fingerprint(ground.uri) == before


@pytest.mark.parametrize("case", [case for case in CASES if case.script], ids=named)
def test_pgbench_runs_the_statements_of_every_case(case: Case, ground: Ground, tmp_path: Path) -> None:
    assert case.script
    script = case.script(ground.place)
    found = load.pgbench(embedded.programs(), ground.uri, script, tmp_path, transactions=2, clients=3)
    assert found.requests == 6 * len(script.statements)
    ground.restore(case)


def test_pgbench_is_given_pamps_own_statement(ground: Ground, pamps: Api) -> None:
    script = load.pgbench_script(Script({"id": "1 + 2"}, ((posts.read, {"id": ":id"}),)))
    *variables, sql, end = script.split("\n")
    assert (variables, end) == (["\\set null 0", "\\set id 1 + 2"], "")
    post = LAYOUT.hot_post
    ((body,),) = rows(ground.uri, sql.replace(":null", "0").replace(":id", str(post)))
    assert body == pamps.get(f"/post/{post}/").json()


async def count(ground: Ground, database: Database) -> list[int]:
    """The statements counted so far: before and after an exchange of counters, and after a post is read."""
    found = [ground.statements()]
    await database.row(tallies.exchange, names=["a"], ends=[datetime.now(UTC) + timedelta(hours=1)], amounts=[1])
    found.append(ground.statements())
    await database.one(posts.read, id=1)
    found.append(ground.statements())
    await database.close()
    return found


def test_what_requests_need_is_counted_and_not_what_is_done_once_a_second(settings: Settings) -> None:
    with short_folder() as folder, servers.postgres(folder / "data") as postgres:
        ground = prepare(postgres.uri, LAYOUT, settings.security)
        with ground.counting():
            before, exchanged, read = asyncio.run(count(ground, Database(postgres.uri, settings.db)))
    assert (exchanged - before, read - exchanged) == (0, 1)


def test_a_run_measures_everybody_and_writes_it_down() -> None:
    with short_folder() as folder:
        wanted = ("--smoke", "--scale", "0.001", "--rounds", "2", "--only", "publish,post-hot")
        done = benchmark("run", *wanted, "--directory", folder / "data", "--results", folder / "found.json", cwd=folder)
        assert done.returncode == 0, done.stderr
        found = json.loads((folder / "found.json").read_text())
        assert ElementTree.parse(folder / "found.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert (found["scale"], found["posts"], found["rounds"], found["smoke"]) == (0.001, 1000, 2, True)
    assert found["constant"].keys() == {"asgi", "fastapi"}
    assert found["worker_mb"].keys() == {"pamps", "apart", "textbook", "asgi", "fastapi"}  # nobody else was needed
    post, publish = found["cases"]
    assert post["name"] == "post-hot"
    assert post["candidates"].keys() == {"pamps", "apart", "pgbench", "textbook"}
    assert post["candidates"]["pamps"]["statements"] == post["candidates"]["apart"]["statements"] == 1
    assert publish["name"] == "publish"
    assert publish["candidates"].keys() == {"pamps", "pgbench", "textbook"}
    assert publish["ratios"].keys() == {"pgbench", "textbook", "asgi", "fastapi"}
    assert publish["candidates"]["pamps"]["statements"] == 1
    assert publish["candidates"]["textbook"]["statements"] > 4
    assert "publish" in done.stdout
