"""`pamps doctor`: what it finds on a healthy Pamps and on ailing ones, and that it mends counters and nothing else."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from pamps import embedded as embedded_postgresql
from pamps import schema, startup
from pamps.commands import checks
from pamps.config import Settings
from tests.commands import Commands
from tests.contents import contents, fill
from tests.locks import WAITING
from tests.mailbox import Mailbox
from tests.pooler import pooler
from tests.processes import FROM_SOURCE, STRONG_SECRET, short_folder, until
from tests.root import as_root, small_disk

PRODUCTION: dict[str, Any] = {"env": "production", "security__secret_key": STRONG_SECRET}
AFTER_THE_DATABASE = ["connection", "server", "schema", "counters", "clock", "mail"]


def on(uri: str, folder: Path) -> Commands:
    """On a database, which loses nothing in a crash."""
    commands = Commands(uri, folder)
    commands.sql(f"ALTER DATABASE {commands.database} RESET synchronous_commit")
    return commands


@pytest.fixture
def anew(new_database: Callable[[], str], tmp_path: Path) -> Commands:
    """On a database without any table."""
    return on(new_database(), tmp_path)


@pytest.fixture
def pamps(migrated_database: Callable[[], str], tmp_path: Path) -> Commands:
    return on(migrated_database(), tmp_path)


@pytest.fixture
def embedded() -> Iterator[Commands]:
    """On an embedded database that is still to be made."""
    with short_folder() as folder:
        yield Commands.embedded(folder)


def examined(commands: Commands, *options: str, **settings: Any) -> tuple[int, dict[str, tuple[str, str, str]]]:
    """The exit code, and what was found by each check: the result, what is said, and the advice."""
    done = commands.run("doctor", "--json", *options, **settings)
    assert done.stderr == ""
    rows = json.loads(done.stdout)
    assert [row for row in rows if row["result"] != "ok" and not row["advice"]] == []
    return done.returncode, {row["check"]: (row["result"], row["said"], row["advice"]) for row in rows}


def test_a_healthy_pamps_is_a_line_for_each_check(pamps: Commands) -> None:
    fill(pamps)
    before = contents(pamps.uri)
    (version,) = pamps.sql("SELECT current_setting('server_version')")
    settings = {**PRODUCTION, "server__trusted_proxies": '["10.0.0.1"]'}
    assert pamps("doctor", **settings).splitlines() == [
        "ok    configuration  production; pamps config shows all of it",
        "ok    secret         32 characters; old keys: 0",
        "ok    disk           the data lies with the database that db.uri names",
        "ok    proxies        10.0.0.1: whom these name is the client",
        "ok    watching       the log is JSON; nobody sees metrics",
        "ok    mail server    no mail is sent: mail.host is empty",
        f"ok    database       PostgreSQL {version[0]}, UTF8",
        "ok    connection     server processes get theirs",
        "ok    server         8 connections at most, of 100",
        f"ok    schema         {schema.head()}",
        "ok    counters       what a recount gives",
        "ok    clock          this machine's and the database's are the same",
        "ok    mail           none waits",
    ]
    assert contents(pamps.uri) == before


def test_a_bad_setting_is_found(pamps: Commands) -> None:
    code, found = examined(pamps, env="production")
    assert (code, list(found)) == (1, ["configuration"])
    result, said, _ = found["configuration"]
    assert (result, said.split(" (")[0]) == ("FAIL", "security.secret_key: production needs one")


def test_a_database_that_is_away_is_found(pamps: Commands) -> None:
    code, found = examined(pamps, db__uri="postgresql://pamps@127.0.0.1:1/pamps")
    assert code == 1
    assert found["database"][0] == "FAIL"
    assert found["database"][1].endswith("Connection refused")
    assert found["database"][2] == "see that it runs, and that db.uri names it and somebody whom it lets in"
    assert {found[name] for name in AFTER_THE_DATABASE} == {("warn", "not looked at", "see to the database first")}


def test_a_pooler_that_refuses_the_settings_of_connections_is_found(pamps: Commands) -> None:
    with pooler(pamps.uri) as uri:
        code, found = examined(pamps, db__uri=uri)
        assert (code, found["database"][0], found["connection"][0], found["server"][0]) == (1, "ok", "FAIL", "ok")
        refused = "server processes get none: unsupported startup parameter: idle_in_transaction_session_timeout"
        assert found["connection"][1] == refused
        assert pamps.refused("user-list", db__uri=uri).endswith("idle_in_transaction_session_timeout)")


def test_a_schema_that_is_not_this_versions_is_found(anew: Commands) -> None:
    code, found = examined(anew)
    assert (code, found["schema"]) == (1, ("FAIL", "there are no tables yet", "pamps migrate"))
    assert found["counters"] == ("warn", "not looked at", "see to the schema first")
    startup.migrate(anew.uri)
    anew.sql("UPDATE alembic_version SET version_num = 'later'")
    code, found = examined(anew)
    assert (code, found["schema"]) == (1, ("FAIL", "later is of a newer version than this one", "install that"))
    first = schema.revisions()[-1]
    anew.sql("UPDATE alembic_version SET version_num = %s", first)
    code, found = examined(anew)
    advice = "pamps backup FILE, and then pamps migrate"
    assert (code, found["schema"]) == (1, ("FAIL", f"{first} is older than {schema.head()}", advice))
    for unseen in ("counters", "mail"):
        assert found[unseen] == ("warn", "not looked at", "see to the schema first")


def test_counters_that_are_wrong_are_found_and_repaired(pamps: Commands) -> None:
    fill(pamps)
    healthy = contents(pamps.uri)
    pamps.sql("UPDATE post SET like_count = like_count + 1, reply_count = 9 WHERE id = 1")
    pamps.sql('UPDATE "user" SET post_count = 99, follower_count = 99, following_count = 99 WHERE id IN (1, 2)')
    spoilt = contents(pamps.uri)
    said = (
        "user.post_count of 2, user.follower_count of 2, user.following_count of 2, "
        "post.like_count of 1, post.reply_count of 1"
    )
    code, found = examined(pamps)
    assert (code, found["counters"]) == (
        1,
        ("FAIL", f"not what a recount gives: {said}", "pamps doctor --repair"),
    )
    assert contents(pamps.uri) == spoilt
    code, found = examined(pamps, "--repair")
    assert (code, found["counters"]) == (0, ("ok", f"8 were wrong and are right ({said})", ""))
    assert contents(pamps.uri) == healthy


def test_counters_are_repaired_while_somebody_counts(pamps: Commands) -> None:
    pamps.add_users(2)
    pamps.sql("INSERT INTO post (user_id, text) VALUES (1, 'Hello!')")
    pamps.sql("UPDATE post SET like_count = 7")
    with closing(psycopg2.connect(pamps.uri)) as connection, connection.cursor() as cursor:
        cursor.execute('INSERT INTO "like" (user_id, post_id) VALUES (2, 1)')  # not committed: 8 of 1
        process = subprocess.Popen(
            [*FROM_SOURCE, "doctor", "--repair"], cwd=pamps.folder, env=pamps.environment(), stdout=subprocess.PIPE
        )
        until(lambda: pamps.sql(WAITING))
        connection.commit()
    assert b"1 were wrong and are right" in process.communicate()[0]
    assert process.returncode == 0
    assert pamps.sql("SELECT like_count FROM post") == [(1,)]


@pytest.mark.parametrize(
    ("name", "value", "result", "why", "advice"),
    [
        (
            *("synchronous_commit", "off", "warn", "a crash loses the last moments of what was acknowledged"),
            "turn it on where it was turned off: "
            "SELECT source, sourcefile FROM pg_settings WHERE name = 'synchronous_commit'",
        ),
        (
            *("default_transaction_read_only", "on", "FAIL", "nothing can be written"),
            "db.uri has to name the primary",
        ),
    ],
)
def test_a_setting_of_the_server_that_loses_data_is_found(
    pamps: Commands, name: str, value: str, result: str, why: str, advice: str
) -> None:
    pamps.sql(f"ALTER DATABASE {pamps.database} SET {name} = {value}")
    code, found = examined(pamps)
    assert code == (result == "FAIL")
    assert found["server"] == (result, f"{name.removeprefix('default_')} is {value}: {why}", advice)


def pretend(commands: Commands, name: str, value: str) -> None:
    """Have the server say this of a setting that is not one database's, or can't be changed."""
    commands.sql(
        "CREATE OR REPLACE FUNCTION public.current_setting(name text) RETURNS text LANGUAGE sql "
        f"RETURN CASE name WHEN '{name}' THEN '{value}' ELSE pg_catalog.current_setting(name) END"
    )
    commands.sql(f"ALTER DATABASE {commands.database} SET search_path = public, pg_catalog")


def test_settings_that_are_the_whole_servers_are_found_as_well(pamps: Commands) -> None:
    everything = "a crash of the machine can destroy everything"
    for name, value, result, why in (
        ("fsync", "off", "FAIL", everything),
        ("full_page_writes", "off", "FAIL", everything),
        ("autovacuum", "off", "warn", "tables grow and statements slow down"),
    ):
        pretend(pamps, name, value)
        code, found = examined(pamps)
        assert code == (result == "FAIL")
        assert found["server"][:2] == (result, f"{name} is {value}: {why}")
    for value in ("remote_write", "remote_apply"):
        pretend(pamps, "synchronous_commit", value)
        assert examined(pamps)[1]["server"][0] == "ok"


def test_a_version_of_postgresql_that_pamps_is_not_made_for_is_found(pamps: Commands) -> None:
    advice = "Pamps is made for 15 to 18"
    for version, result in (("14.19", "FAIL"), ("19beta1", "warn"), ("15.0", "ok"), ("18.9 (Debian)", "ok")):
        pretend(pamps, "server_version", version)
        code, found = examined(pamps)
        said = (result, f"PostgreSQL {version}, UTF8", "" if result == "ok" else advice)
        assert (code, found["database"]) == (result == "FAIL", said)


def test_more_connections_than_the_server_takes_are_found(pamps: Commands) -> None:
    _, found = examined(pamps, server__workers=20)
    advice = "raise max_connections, or lower db.pool_size or server.workers"
    assert found["server"] == ("warn", "180 connections at most, of 100", advice)


def test_the_connections_that_mail_is_delivered_on_count(pamps: Commands) -> None:
    settings = {**PRODUCTION, "db__pool_size": 15, "server__workers": 6}
    assert examined(pamps, **settings)[1]["server"] == ("ok", "90 connections at most, of 100", "")
    settings |= {
        "mail__host": "127.0.0.1",
        "mail__sender": "pamps@example.org",
        "mail__base_url": "https://example.org",
    }
    advice = "raise max_connections, or lower db.pool_size or server.workers"
    assert examined(pamps, **settings)[1]["server"] == ("warn", "96 connections at most, of 100", advice)


def test_a_database_of_another_encoding_is_found(pamps: Commands) -> None:
    name = pamps.database + "_latin"
    with closing(psycopg2.connect(pamps.uri)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'")
        try:
            code, found = examined(pamps, db__uri=pamps.uri.replace(pamps.database, name))
        finally:
            cursor.execute(f"DROP DATABASE {name}")
    assert (code, found["database"][0]) == (1, "FAIL")
    assert found["database"][1].endswith(", LATIN1")


@pytest.mark.parametrize(("seconds", "result"), [(-3600, "FAIL"), (20, "warn")])
def test_clocks_that_differ_are_found(pamps: Commands, seconds: int, result: str) -> None:
    # The database's clock can't be set; what it says in a database can.
    pamps.sql(
        "CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql "
        f"RETURN pg_catalog.clock_timestamp() + interval '{seconds} seconds'"
    )
    pamps.sql(f"ALTER DATABASE {pamps.database} SET search_path = public, pg_catalog")
    code, found = examined(pamps)
    assert code == (result == "FAIL")
    where = "ahead of" if seconds > 0 else "behind"
    assert found["clock"][:2] == (result, f"the database's is {abs(seconds)}.0 seconds {where} this machine's")


def test_an_example_or_a_key_that_others_can_read_is_found(pamps: Commands) -> None:
    _, found = examined(pamps, security__secret_key="example-" + STRONG_SECRET)
    assert found["secret"] == ("warn", "it looks like an example", "production will refuse it")
    file = pamps.folder / ".secrets.toml"
    file.write_text(f"[security]\nsecret_key = '{STRONG_SECRET}'")
    file.chmod(0o644)
    _, found = examined(pamps)
    assert found["secret"] == ("warn", f"others on this machine can read {file}", f"chmod 600 {file}")
    file.chmod(0o600)
    _, found = examined(pamps)
    assert found["secret"] == ("ok", "32 characters; old keys: 0", "")


def test_a_service_that_only_a_proxy_can_reach_should_know_the_proxy(pamps: Commands) -> None:
    _, found = examined(pamps, **PRODUCTION)
    said = "it listens on 127.0.0.1 alone, so to it all clients have the address of what passes them on"
    assert found["proxies"] == ("warn", said, "name that in server.trusted_proxies")
    _, found = examined(pamps, **PRODUCTION, server__host="0.0.0.0")
    assert found["proxies"] == ("ok", "none: a client is whoever connects", "")


def test_metrics_for_everybody_and_telemetry_for_nobody_are_found(pamps: Commands) -> None:
    _, found = examined(pamps, metrics__port=9100, metrics__host="0.0.0.0")
    said = "whoever reaches 0.0.0.0 port 9100 can read the metrics"
    assert found["watching"] == ("warn", said, "let nobody from outside, or use metrics.token instead")
    _, found = examined(pamps, telemetry__tracing="true")
    assert found["watching"] == (
        "warn",
        "telemetry is on, and sent nowhere",
        "set OTEL_EXPORTER_OTLP_ENDPOINT",
    )
    _, found = examined(pamps, metrics__port=9100, metrics__token="x" * 32)
    assert found["watching"] == ("ok", "the log is text; metrics by 127.0.0.1 port 9100 and the token", "")
    _, found = examined(pamps, metrics__host="0.0.0.0")
    assert found["watching"] == ("ok", "the log is text; nobody sees metrics", "")


def test_telemetry_that_can_not_be_sent_is_found(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    on = settings.model_copy(update={"telemetry": settings.telemetry.model_copy(update={"logs": True})})
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    assert checks.watching(on).result == "ok"
    monkeypatch.setattr(checks, "find_spec", {"opentelemetry.sdk": True}.get)
    said = ("watching", "warn", "telemetry is on, and can't be sent", "pip install pamps[telemetry]")
    assert checks.watching(on) == said


def test_an_embedded_database_is_not_made_to_be_looked_at(embedded: Commands) -> None:
    code, found = examined(embedded)
    assert (code, found["database"]) == (0, ("warn", "there is none yet", "pamps serve makes one"))
    assert not embedded.settings["db__embedded_dir"].exists()


def test_the_development_secret_is_not_fit_for_production(embedded: Commands) -> None:
    directory = embedded.settings["db__embedded_dir"]
    key = embedded_postgresql.secret_key(directory)
    code, found = examined(embedded, env="production", security__secret_key=key)
    said = f"it is the development secret in {directory / 'secret_key'}"
    assert (code, found["secret"]) == (1, ("FAIL", said, "give production one of its own"))


@as_root
@pytest.mark.parametrize(("size", "result"), [("90m", "FAIL"), ("500m", "warn")])
def test_a_disk_that_fills_up_is_found(embedded: Commands, size: str, result: str) -> None:
    with small_disk(embedded.folder, size) as disk:
        code, found = examined(embedded, db__embedded_dir=disk / "db")
    assert (code, found["disk"][0]) == (result == "FAIL", result)
    assert found["disk"][2] == "make room, or move it to a larger disk"


def test_a_mail_server_and_what_waits_for_it_are_looked_at(pamps: Commands) -> None:
    mailbox = Mailbox()
    settings = {
        **{"mail__host": "127.0.0.1", "mail__port": mailbox.port, "mail__tls": "none"},
        **{"mail__sender": "pamps@example.org", "mail__base_url": "https://app.example.com"},
    }
    with mailbox.open():
        assert examined(pamps, **settings)[1]["mail server"] == ("ok", f"127.0.0.1 port {mailbox.port} takes mail", "")
    pamps.sql("SELECT enqueue_mail('password_changed', 'en', 1, 'ada@example.com', '{}')")
    code, found = examined(pamps, **settings)
    assert (code, found["mail server"][0], found["mail"][0]) == (1, "FAIL", "ok")
    assert found["mail"][1].startswith("1 wait, the oldest for ")
    pamps.sql("UPDATE pgqueuer SET created = created - interval '1 day'")
    advice = "see to the mail server, and that Pamps serves"
    result, said, advised = examined(pamps)[1]["mail"]
    assert (result, advised, said.startswith("1 wait, the oldest for 86")) == ("warn", advice, True)
    pamps.sql("UPDATE pgqueuer SET status = 'failed'")
    assert examined(pamps)[1]["mail"][:2] == ("warn", "none waits; 1 given up")
