"""CONTRIBUTING's way to a new migration, in a fresh clone: what it writes is right as it stands."""

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.checkout import ROOT, fresh_clone
from tests.processes import environment

MODEL = "pamps/models/post.py"
FIELD = "    text: str = "
CHECKS = "dated or knows_nothing or both_ways or one_line or autogenerate or by_itself or survives"


class Clone:
    def __init__(self, folder: Path, uri: str, server_uri: str):
        self.folder = folder
        self.environment = environment(db__uri=uri, test_db__uri=server_uri) | {"PYTHONPATH": str(folder)}

    def run(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def python(self, *arguments: str) -> str:
        return self.run(sys.executable, "-m", *arguments)

    def add_column(self, name: str) -> None:
        model = self.folder / MODEL
        source = model.read_text()
        assert source.count(FIELD) == 1
        model.write_text(source.replace(FIELD, f"    {name}: str | None = Field(sa_type=Text)\n{FIELD}"))

    def follow_contributing(self, what: str) -> None:
        section = (ROOT / "CONTRIBUTING.md").read_text().split("\n## A migration\n")[1].split("```")[1]
        commands = [line.removeprefix("$ ") for line in section.splitlines() if line.startswith("$ ")]
        assert [shlex.split(command)[:2] for command in commands] == [
            [".venv/bin/pamps", "migrate"],
            [".venv/bin/alembic", "revision"],
        ]
        for command in commands:
            program, *arguments = shlex.split(command.replace("what it does", what))
            self.python(Path(program).name, *arguments)


@pytest.fixture
def clone(tmp_path: Path, new_database: Callable[[], str], server_uri: str) -> Clone:
    return Clone(fresh_clone(tmp_path / "clone"), new_database(), server_uri)


def test_two_migrations_made_on_one_day_are_right_and_in_order(clone: Clone) -> None:
    versions = clone.folder / "pamps" / "migrations" / "versions"
    before = {file.stem for file in versions.glob("[0-9]*.py")}
    for column, what in (("mood", "Posts have a mood"), ("ease", "And another, of quite some length!")):
        clone.add_column(column)
        clone.follow_contributing(what)
    made = sorted({file.stem for file in versions.glob("[0-9]*.py")} - before)
    assert [name.split("_", 3)[3] for name in made] == ["posts_have_a_mood", "and_another_of_quite"]
    assert max(before) < made[0]
    source = (versions / f"{made[0]}.py").read_text()
    assert source.startswith('"""Posts have a mood."""\n\nimport sqlalchemy as sa\nfrom alembic import op\n')
    assert 'op.drop_column("post", "mood")' in source
    clone.python("ruff", "check", str(versions))
    clone.python("ruff", "format", "--check", str(versions))
    clone.python("pytest", "-q", "tests/test_migrations.py", "-k", CHECKS)


def test_a_migration_made_without_comparing_is_formatted_too(clone: Clone) -> None:
    versions = clone.folder / "pamps" / "migrations" / "versions"
    clone.python("alembic", "revision", "-m", "by hand")
    before, made = sorted(versions.glob("[0-9]*.py"))[-2:]
    assert made.read_text().splitlines()[:8] == [
        '"""by hand."""',
        "",
        "from alembic import op",
        "",
        f'revision = "{made.stem}"',
        f'down_revision = "{before.stem}"',
        "branch_labels = None",
        "depends_on = None",
    ]
    clone.python("ruff", "check", str(made))
    clone.python("ruff", "format", "--check", str(made))
