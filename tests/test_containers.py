"""The containers' files: what they name exists, and what they promise holds. No container engine is needed."""

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from sqlalchemy import make_url

from pamps import cli
from pamps.config import every_setting
from pamps.embedded.server import INITDB
from pamps.loading import load_settings
from tests.checkout import ROOT

SCRIPT = ROOT / "postgres" / "create-databases.sh"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
API: dict[str, Any] = COMPOSE["services"]["api"]
DB: dict[str, Any] = COMPOSE["services"]["db"]


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile: ("COPY", "pamps pamps")."""
    lines = [line for line in (ROOT / dockerfile).read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def values(dockerfile: str, name: str) -> list[str]:
    """What follows each `name` in the last stage of a Dockerfile."""
    every = instructions(dockerfile)
    last = max(index for index, (found, _) in enumerate(every) if found == "FROM")
    return [rest for found, rest in every[last:] if found == name]


def environment(dockerfile: str) -> dict[str, str]:
    pairs = [word.partition("=") for line in values(dockerfile, "ENV") for word in shlex.split(line)]
    return {name: value for name, _, value in pairs}


def let_in(path: str) -> bool:
    """Whether .dockerignore lets a file into the build: the last rule that matches it or a folder above it decides."""
    allowed = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if rule := line.split("#")[0].strip():
            pattern = re.escape(rule.removeprefix("!")).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
            if re.fullmatch(pattern + "(/.*)?", path):
                allowed = rule.startswith("!")
    return allowed


def copied(dockerfile: str) -> list[str]:
    """The sources that a Dockerfile copies from its context."""
    lines = [shlex.split(rest) for name, rest in instructions(dockerfile) if name in ("COPY", "ADD")]
    return [word for words in lines if "--from=" not in words[0] for word in words[:-1] if not word.startswith("--")]


@pytest.mark.parametrize("dockerfile", ["Dockerfile", "Dockerfile.dev", "postgres/Dockerfile"])
def test_what_a_build_copies_is_there(dockerfile: str) -> None:
    context = (ROOT / dockerfile).parent
    sources = copied(dockerfile)
    assert sources
    assert [source for source in sources if not (context / source).exists()] == []
    assert context != ROOT or [source for source in sources if not let_in(source)] == []


@pytest.mark.parametrize(
    "path", [".secrets.toml", "settings.toml", ".env", ".git/config", ".venv/bin/python", "tests/api.py"]
)
def test_secrets_history_and_leftovers_stay_out_of_a_build(path: str) -> None:
    assert not let_in(path)


def test_of_the_package_everything_but_bytecode_enters_a_build() -> None:
    assert let_in("pamps/default.toml")
    assert not let_in("pamps/routes/__pycache__/post.cpython-313.pyc")


def test_the_requirements_come_from_wherever_pip_is_told_to_look() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        options = [line for line in (ROOT / name).read_text().splitlines() if line.startswith("-")]
        assert options in ([], ["-c requirements.txt"]), name


@pytest.mark.parametrize("dockerfile", ["Dockerfile", "Dockerfile.dev"])
def test_only_what_a_hash_vouches_for_is_installed(dockerfile: str) -> None:
    runs = [shlex.split(rest) for name, rest in instructions(dockerfile) if name == "RUN" and "pip install" in rest]
    assert len(runs) == 2
    assert "--require-hashes" in runs[0]
    assert "--no-deps" in runs[1]


@pytest.mark.parametrize("dockerfile", ["Dockerfile", "Dockerfile.dev"])
def test_a_container_starts_a_command_that_the_package_installs(dockerfile: str) -> None:
    program, name, *options = json.loads(values(dockerfile, "CMD")[-1])  # exec form: signals reach it
    assert f'"{program} = pamps.cli:main"' in (ROOT / "setup.py").read_text()
    command = typer.main.get_command(cli.app).commands[name]  # type: ignore[attr-defined]
    assert set(options) <= {option for parameter in command.params for option in parameter.opts}
    assert values(dockerfile, "ENTRYPOINT") in ([], ['["tini", "--"]'])


@pytest.mark.parametrize("dockerfile", ["Dockerfile", "Dockerfile.dev"])
def test_no_container_runs_as_root(dockerfile: str) -> None:
    assert values(dockerfile, "USER")[-1] not in ("root", "0")


@pytest.mark.parametrize(
    "variables",
    [environment("Dockerfile"), environment("Dockerfile.dev"), API["environment"]],
    ids=["Dockerfile", "Dockerfile.dev", "compose"],
)
def test_every_variable_is_a_setting(variables: dict[str, str]) -> None:
    named = {tuple(name.removeprefix("PAMPS_").lower().split("__")) for name in variables if name.startswith("PAMPS_")}
    assert named <= set(every_setting())


def test_the_production_image_is_set_to_production_and_reachable() -> None:
    variables = environment("Dockerfile")
    assert variables["PAMPS_ENV"] == "production"
    assert variables["PAMPS_SERVER__host"] == "0.0.0.0"


def test_the_api_is_given_databases_that_the_image_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in API["environment"].items():
        monkeypatch.setenv(name, value)
    settings = load_settings(tmp_path)
    made = [name.strip() for name in DB["environment"]["POSTGRES_DBS"].split(",")]
    assert made == ["pamps", "pamps_test"]
    for uri, name in ((settings.db.uri, "pamps"), (settings.test_db.uri, "pamps_test")):
        url = make_url(uri)
        assert (url.host, url.port, url.database) == ("db", 5432, name)
        assert (url.username, url.password) == (
            DB["environment"]["POSTGRES_USER"],
            DB["environment"]["POSTGRES_PASSWORD"],
        )
    assert settings.server.host == "0.0.0.0"


def test_the_services_are_built_from_files_that_are_there() -> None:
    assert (ROOT / API["build"]["context"] / API["build"]["dockerfile"]).is_file()
    assert (ROOT / DB["build"] / "Dockerfile").is_file()


def test_the_api_waits_for_a_healthy_database() -> None:
    assert API["depends_on"] == {"db": {"condition": "service_healthy"}}
    assert DB["healthcheck"]["test"][:2] == ["CMD", "pg_isready"]


def test_the_source_is_mounted_where_it_is_installed() -> None:
    assert API["volumes"] == [f".:{values('Dockerfile.dev', 'WORKDIR')[-1]}"]


def test_the_api_is_published_to_this_machine_alone(tmp_path: Path) -> None:
    port = load_settings(tmp_path).server.port
    assert API["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert "ports" not in DB


def test_the_data_is_on_a_volume_where_the_image_of_this_version_keeps_it() -> None:
    major = values("postgres/Dockerfile", "FROM")[-1].removeprefix("postgres:").split("-")[0]
    assert environment("postgres/Dockerfile")["PGDATA"] == f"/var/lib/postgresql/{major}/docker"
    (volume,) = DB["volumes"]
    name, target = volume.split(":")
    assert name in COMPOSE["volumes"]
    assert target == "/var/lib/postgresql"


def test_the_database_is_made_like_the_embedded_one() -> None:
    assert set(environment("postgres/Dockerfile")["POSTGRES_INITDB_ARGS"].split()) <= set(INITDB)


@pytest.mark.parametrize("service", [API, DB], ids=["api", "db"])
def test_a_service_comes_back_by_itself_and_may_finish_its_requests(service: dict[str, Any], tmp_path: Path) -> None:
    assert service["restart"] == "unless-stopped"
    assert int(service["stop_grace_period"].removesuffix("s")) > load_settings(tmp_path).server.shutdown_timeout


PROBES: dict[str, list[str]] = {
    "Dockerfile": json.loads(values("Dockerfile", "HEALTHCHECK")[-1].partition("CMD ")[2]),
    "compose": API["healthcheck"]["test"][1:],
}


@pytest.fixture
def server() -> Iterator[Callable[[int], int]]:
    """Starts a server that answers /readyz with a status and anything else with 404; returns its port."""
    running: list[HTTPServer] = []

    def start(status: int) -> int:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status if self.path == "/readyz" else 404)
                self.end_headers()

        running.append(HTTPServer(("127.0.0.1", 0), Answer))
        threading.Thread(target=running[-1].serve_forever, args=(0.01,), daemon=True).start()
        return running[-1].server_port

    yield start
    for one in running:
        one.shutdown()
        one.server_close()


@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES)
@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_a_container_is_healthy_when_it_is_ready(
    probe: list[str], status: int, healthy: bool, server: Callable[[int], int]
) -> None:
    python, option, program = probe
    assert (python, option) == ("python", "-c")
    assert program.count("8000") == 1
    done = subprocess.run([sys.executable, "-c", program.replace("8000", str(server(status)))], check=False)
    assert (done.returncode == 0) is healthy


def test_the_database_image_runs_the_script_when_its_volume_is_new() -> None:
    assert values("postgres/Dockerfile", "COPY") == ["--chmod=0755 create-databases.sh /docker-entrypoint-initdb.d/"]
    assert SCRIPT.read_text().startswith("#!/bin/sh\n")
    assert os.access(SCRIPT, os.X_OK)
