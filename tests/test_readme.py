"""The README's tour, run as it is written, from a fresh clone with an empty home."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkout import ROOT, fresh_clone

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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def clone() -> Iterator[Path]:
    # A short path, which a socket's has to be, that the embedded server's account can enter.
    folder = Path(tempfile.mkdtemp(prefix="pamps-readme-"))
    folder.chmod(0o755)
    yield fresh_clone(folder / "pamps")
    shutil.rmtree(folder)


def wait_until_ready(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        assert server.poll() is None, "./run.sh ended"
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("./run.sh did not serve in time")


def test_the_tour_shows_what_happens(clone: Path) -> None:
    tour = steps((ROOT / "README.md").read_text().split("## A tour")[1].split("\n## ")[0])
    (first, greeting), rest = tour[0], tour[1:]
    assert first == "./run.sh"
    port, home = free_port(), clone.parent / "home"
    home.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PAMPS_SERVER__port": str(port),
        "PAMPS_DB__embedded_dir": str(clone.parent / "data"),
    }
    with (clone.parent / "said").open("wb") as said:
        server = subprocess.Popen([first], cwd=clone, env=environment, stdout=said, stderr=said, start_new_session=True)
    try:
        wait_until_ready(port, server)
        # One shell runs it all, as one terminal would; a line that no command prints parts the outputs.
        script = "\n".join(f"{command}\necho; echo --8000--" for command, _ in rest).replace(
            "localhost:8000", f"localhost:{port}"
        )
        run = subprocess.run(
            ["bash"], input=script, cwd=clone, env=environment, capture_output=True, text=True, timeout=120
        )
        outputs = run.stdout.replace(f"localhost:{port}", "localhost:8000").split("\n--8000--\n")
        shown = [(command, settled(output)) for command, output in rest]
        assert [(command, settled(out)) for (command, _), out in zip(rest, outputs, strict=False)] == shown
        assert run.stderr == ""
        for line in greeting.splitlines():
            told = line.replace("8000", str(port)).replace("/home/you/.local/share/pamps", str(clone.parent / "data"))
            assert told in (clone.parent / "said").read_text()
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=60)
    assert server.returncode == 0
