"""Pamps as its users get it: installed by pip into an environment of its own, and run from somewhere else."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pamps import __version__
from tests.checkout import fresh_clone
from tests.factories import PASSWORD
from tests.processes import environment, pamps, serving, short_folder

INSTALLING = 600  # seconds; most of it pip's, and the network's


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def clone(folder: Path) -> Path:
    return fresh_clone(folder / "clone")


@pytest.fixture(scope="module")
def command(folder: Path, clone: Path) -> tuple[str, ...]:
    """The command `pamps`, out of a clean virtual environment."""
    # Without a pip of its own, which takes longer than it takes this one to do the work.
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    pip = (sys.executable, "-m", "pip", "--python", folder / "venv", "--disable-pip-version-check")
    run(*pip, "install", "--quiet", f"{clone}[embedded]")
    return (str(folder / "venv" / "bin" / "pamps"),)


def run(*command: str | Path) -> None:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd="/", env=env, capture_output=True, text=True, timeout=INSTALLING, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def env(folder: Path) -> dict[str, str]:
    """An environment without a checkout in it, and an empty home."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    kept = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
    return kept | {"HOME": str(home), "PAMPS_DB__embedded_dir": str(folder / "db")}


def test_an_installed_pamps_serves_from_any_folder(command: tuple[str, ...], env: dict[str, str], folder: Path) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    version = pamps("--version", cwd=elsewhere, env=env, command=command)
    assert (version.returncode, version.stdout) == (0, f"{__version__}\n")
    with serving(elsewhere, env, command=command) as server:
        # It is ready: the database is made and migrated. Then the page with its scripts and styles, and a first user.
        page = server.get("/docs").text
        assets = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
        assert len(assets) >= 3
        assert {server.status(path) for path in ("/", "/redoc", "/openapi.json", *assets)} == {200}
        added = pamps(
            "adduser", "ada@example.com", "ada", "--password-stdin",
            cwd=elsewhere, env=env, stdin=f"{PASSWORD}\n", command=command,
        )  # fmt: skip
        assert (added.returncode, added.stderr) == (0, "")
        ada = server.sign_in("ada")
        assert server.publish(ada, "Hello!").status_code == 201
        assert server.texts() == {"Hello!"}
        assert server.stop() == 0
    assert sorted(path.name for path in elsewhere.iterdir()) == [server.log.name]
    assert list((folder / "home").iterdir()) == []


def test_all_of_the_package_is_installed_and_nothing_else(command: tuple[str, ...], clone: Path) -> None:
    package = next(Path(command[0]).parents[1].glob("lib/python*/site-packages/pamps"))
    assert tomllib.loads((package / "default.toml").read_text())["env"] == "development"
    installed = {str(path.relative_to(package)) for path in package.rglob("*") if "__pycache__" not in path.parts}
    assert {name for name in installed if (package / name).is_file()} == {
        str(path.relative_to(clone / "pamps")) for path in (clone / "pamps").rglob("*") if path.is_file()
    }
    assert not (package.parent / "tests").exists()
    assert not (package.parent / "benchmarks").exists()
