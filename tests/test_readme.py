"""The README's tour, run as it is written, from a fresh clone with an empty home."""

import re
import subprocess
from pathlib import Path

from tests.checkout import ROOT, UNCOMPILED, fresh_clone
from tests.processes import environment, short_folder, started

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


# One test, so that what takes its time, the installation, is done once.
def test_the_tour_shows_what_happens_and_the_next_start_is_a_warm_one() -> None:
    ((first, greeting), *rest) = steps((ROOT / "README.md").read_text().split("## A tour")[1].split("\n## ")[0])
    assert first == "./run.sh"
    with short_folder() as folder:
        clone, home, data = fresh_clone(folder / "pamps"), folder / "home", folder / "data"
        home.mkdir()
        env = environment(server__port=0, db__embedded_dir=data) | UNCOMPILED | {"HOME": str(home)}
        del env["PYTHONPATH"]
        with started(clone, env, first, patience=INSTALLING) as server:
            server.wait_until_ready()
            port = server.url.rsplit(":", 1)[1]
            outputs = shell([command for command, _ in rest], port, clone, env)
            shown = [(command, settled(output)) for command, output in rest]
            assert [(command, settled(out)) for (command, _), out in zip(rest, outputs, strict=False)] == shown
            for line in greeting.splitlines():
                told = line.replace("8000", port).replace("/home/you/.local/share/pamps", str(data))
                assert told in server.output
            assert server.stop() == 0
        made = (data / "data" / "PG_VERSION").stat()
        with started(clone, env | take_away(clone), first) as server:
            server.wait_until_ready()
            assert server.texts() == {"Olá, mundo! 🎉"}
            assert "Installing" not in server.output
            assert server.stop() == 0
        assert (data / "data" / "PG_VERSION").stat() == made
