"""docs/api.md and docs/architecture.md say what is so."""

import re

import pytest

from pamps import errors
from pamps.app import create_app
from pamps.config import Settings
from pamps.errors import PampsError
from pamps.models import post, problem, session, user
from tests.checkout import ROOT

API = (ROOT / "docs" / "api.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()


def routes_of_the_page() -> set[tuple[str, str]]:
    """(method, path) of every row of the routes' table; a row may name several of either."""
    found = set()
    for cell in re.findall(r"^\| (`[^|]*/[^|]*`) \| [\w ]+ \|", API, re.MULTILINE):
        methods = re.findall(r"\b(GET|POST|PUT|PATCH|DELETE)\b", cell)
        paths = re.findall(r"(?<=[ `])(?:/|\.\.\.)[^ `]*", cell)
        first = paths[0]
        paths = [path.replace("...", first.rsplit("/", 2)[0]) for path in paths]
        found |= {(method, path) for method in methods for path in paths}
    return found


def test_the_page_lists_every_route_and_no_other(settings: Settings) -> None:
    documented = {
        (method.upper(), path)
        for path, methods in create_app(settings).openapi()["paths"].items()
        for method in methods
    }
    pages = {("GET", "/docs"), ("GET", "/redoc"), ("GET", "/openapi.json")}
    assert routes_of_the_page() == documented | pages


def every_error(kind: type[PampsError] = PampsError) -> set[type[PampsError]]:
    return {kind}.union(*(every_error(inner) for inner in kind.__subclasses__()))


def test_the_page_lists_every_error_and_no_other() -> None:
    rows = set(re.findall(r"^\| (\d{3}) \| `([a-z-]+)` \| (.+) \|$", API, re.MULTILINE))
    of_commands_only = {errors.ConfigurationError, errors.EmbeddedError, errors.BackupError}
    known = {
        (str(kind.status), kind.code, kind.title) for kind in every_error() - of_commands_only if "code" in vars(kind)
    }
    assert rows == known


def test_the_page_lists_the_fields_of_every_shape() -> None:
    shapes = API.split("## Shapes")[1].split("```")[1]
    for model in (
        user.UserSummary,
        user.UserResponse,
        post.PostResponse,
        post.ThreadResponse,
        session.Token,
        session.SessionResponse,
        problem.Problem,
    ):
        text = re.search(
            rf"^{model.__name__.replace('Token', 'Token ').strip()}\s+(.*?)(?=^\w|\Z)", shapes, re.S | re.M
        )
        assert text is not None, model.__name__
        said = re.sub(r"\([^)]*\)", "", text[1])
        names = [re.split(r"[:?]", part.strip())[0] for part in said.split(",")]
        assert names == list(model.model_fields), model.__name__


@pytest.mark.parametrize("folder", ["pamps", "pamps/commands", "pamps/db", "pamps/middleware", "pamps/routing"])
def test_the_picture_of_the_rooms_names_each_of_them(folder: str) -> None:
    named = ARCHITECTURE.split("```")[1]
    for depth, name in enumerate(folder.split("/")):
        within = re.search(rf"^ {{{2 * depth}}}{name}/.*\n((?: {{{2 * depth + 2}}}.*\n)+)", named, re.MULTILINE)
        assert within is not None, folder
        named = within[1]
    rooms = set(re.findall(rf"^ {{{2 * depth + 2}}}([a-z_]+(?:\.py|/))", named, re.MULTILINE))
    there = {
        path.name + ("/" if path.is_dir() else "")
        for path in (ROOT / folder).iterdir()
        if path.name not in ("__init__.py", "__main__.py", "__pycache__") and path.suffix in ("", ".py")
    }
    assert rooms == there
