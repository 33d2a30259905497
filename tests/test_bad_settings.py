"""One clear line for each setting that can't be, and no secret in it."""

from pathlib import Path

import pytest

from pamps.errors import ConfigurationError
from pamps.loading import load_settings
from tests.processes import STRONG_SECRET, environment, pamps, without_settings

NOT_SHOWN = "hush-hush-0123"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    without_settings(monkeypatch)


def refused(directory: Path) -> str:
    """The line that stops the start, the directory in it shortened to a dot."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings(directory)
    line = caught.value.detail
    assert "\n" not in line
    assert NOT_SHOWN not in line
    return line.replace(str(directory), ".")


# What is set, and the line that it gives.
BAD = {
    "ENV=prod": "env: input should be 'development', 'testing' or 'production'; found 'prod' in PAMPS_ENV; "
    "set it in settings.toml or as PAMPS_ENV",
    "SERVER__port=abc": "server.port: input should be a valid integer; found 'abc' in PAMPS_SERVER__port; "
    "set it in settings.toml or as PAMPS_SERVER__port",
    "SERVER__PORT=65536": "server.port: input should be less than or equal to 65535; "
    "found 65536 in PAMPS_SERVER__PORT; set it in settings.toml or as PAMPS_SERVER__port",
    "SERVER__workers=true": "server.workers: input should be a valid integer; found True in PAMPS_SERVER__workers; "
    "set it in settings.toml or as PAMPS_SERVER__workers",
    "SERVER__host=": "server.host: string should have at least 1 character; found '' in PAMPS_SERVER__host; "
    "set it in settings.toml or as PAMPS_SERVER__host",
    "SERVER=8000": "server: is a section, not a setting; server.host is one of its settings; "
    "found 8000 in PAMPS_SERVER; set it in settings.toml or as PAMPS_SERVER__host",
    "POST__max_length=5.5": "post.max_length: input should be a valid integer; found 5.5 in PAMPS_POST__max_length; "
    "set it in settings.toml or as PAMPS_POST__max_length",
    "DB__auto_migrate=maybe": "db.auto_migrate: input should be a valid boolean or input should be 'auto'; "
    "found 'maybe' in PAMPS_DB__auto_migrate; set it in settings.toml or as PAMPS_DB__auto_migrate",
    "DB__statement_timeout=inf": "db.statement_timeout: input should be a finite number; "
    "found inf in PAMPS_DB__statement_timeout; set it in settings.toml or as PAMPS_DB__statement_timeout",
    "DB__statement_timeout=0.0001": "db.statement_timeout: input should be greater than or equal to 0.001; "
    "found 0.0001 in PAMPS_DB__statement_timeout; set it in settings.toml or as PAMPS_DB__statement_timeout",
    "DB__pool_size=1": "db.pool_min_size: 2 is more than db.pool_size, 1 (in PAMPS_DB__pool_size); "
    "found in default.toml; set it in settings.toml or as PAMPS_DB__pool_min_size",
    "GUESSES__first_delay=1000": "guesses.first_delay: 1000.0 is more than guesses.longest_delay, 900.0 "
    "(in default.toml); found in PAMPS_GUESSES__first_delay; set it in settings.toml or as PAMPS_GUESSES__first_delay",
    "GUESSES__forgotten_after=60": "guesses.longest_delay: 900.0 is more than guesses.forgotten_after, 60.0 "
    "(in PAMPS_GUESSES__forgotten_after); found in default.toml; set it in settings.toml or as "
    "PAMPS_GUESSES__longest_delay",
    "DB__embedded_dir=~nobody-known/x": "db.embedded_dir: begins with the home directory of nobody we know; "
    "found '~nobody-known/x' in PAMPS_DB__embedded_dir; set it in settings.toml or as PAMPS_DB__embedded_dir",
    "LOG__level=loud": "log.level: input should be 'debug', 'info', 'warning' or 'error'; "
    "found 'loud' in PAMPS_LOG__level; set it in settings.toml or as PAMPS_LOG__level",
    "METRICS__port=8000": "metrics.port: 8000 is server.port, and has to be another; "
    "found in PAMPS_METRICS__port; set it in settings.toml or as PAMPS_METRICS__port",
    f"METRICS__token={NOT_SHOWN}": "metrics.token: needs at least 32 characters "
    "(`openssl rand -base64 48` makes one), and this one has 14; "
    "found in PAMPS_METRICS__token; set it in .secrets.toml or as PAMPS_METRICS__token",
    "FOO=1": "foo: there is no such setting (found in PAMPS_FOO); docs/configuration.md lists them all",
    "SERVER__prot=1": "server.prot: there is no such setting (found in PAMPS_SERVER__prot); "
    "did you mean server.port (PAMPS_SERVER__port in the environment)?",
    "SEVER__port=1": "sever: there is no such setting (found in PAMPS_SEVER__port); "
    "did you mean server.port (PAMPS_SERVER__port in the environment)?",
    f"DB_URI=postgresql://ada:{NOT_SHOWN}@db/pamps": "db_uri: there is no such setting (found in PAMPS_DB_URI); "
    "did you mean db.uri (PAMPS_DB__uri in the environment)?",
    f"SECURITY__secret_keys={NOT_SHOWN}": "security.secret_keys: there is no such setting "
    "(found in PAMPS_SECURITY__secret_keys); "
    "did you mean security.secret_key (PAMPS_SECURITY__secret_key in the environment)?",
    f"DB__uri=mysql://ada:{NOT_SHOWN}@db/pamps": "db.uri: should be "
    "postgresql://user:password@host:port/name, or empty; "
    "found (35 characters, not shown) in PAMPS_DB__uri; set it in .secrets.toml or as PAMPS_DB__uri",
    f"DB__uri=postgresql://ada:{NOT_SHOWN}@db:x/pamps": "db.uri: should be "
    "postgresql://user:password@host:port/name, or empty; found (42 characters, not shown) in PAMPS_DB__uri; "
    "set it in .secrets.toml or as PAMPS_DB__uri",
    f"DB__uri=postgresql://ada:{NOT_SHOWN}@db/pamps?ssl_mode=require": "db.uri: "
    "asks for ssl_mode, which not every driver knows; "
    "found (57 characters, not shown) in PAMPS_DB__uri; set it in .secrets.toml or as PAMPS_DB__uri",
    f"DB__uri=postgresql://ada:{NOT_SHOWN}@db/pamps?hostaddr=10.0.0.1": "db.uri: "
    "asks for hostaddr, which not every driver knows; "
    "found (58 characters, not shown) in PAMPS_DB__uri; set it in .secrets.toml or as PAMPS_DB__uri",
    f"DB__uri=postgresql://ada:{NOT_SHOWN}@db/pamps?{NOT_SHOWN}": "db.uri: "
    "has something after the ? that is not name=value&...; "
    "found (55 characters, not shown) in PAMPS_DB__uri; set it in .secrets.toml or as PAMPS_DB__uri",
    "SERVER__cors_origins=['https://app.example.com/']": "server.cors_origins: should be as https://example.com, "
    "in lower case, without a / or a default port at the end; found 'https://app.example.com/' in "
    "PAMPS_SERVER__cors_origins; set it in settings.toml or as PAMPS_SERVER__cors_origins",
    "SERVER__cors_origins=['https://app.example.com:443']": "server.cors_origins: should be as https://example.com, "
    "in lower case, without a / or a default port at the end; found 'https://app.example.com:443' in "
    "PAMPS_SERVER__cors_origins; set it in settings.toml or as PAMPS_SERVER__cors_origins",
    "SERVER__trusted_proxies=['10.0.0.1/8']": "server.trusted_proxies: should be an address, 10.0.0.1, or a network, "
    "10.0.0.0/8; found '10.0.0.1/8' in PAMPS_SERVER__trusted_proxies; "
    "set it in settings.toml or as PAMPS_SERVER__trusted_proxies",
    "SERVER__trusted_proxies=['*']": "server.trusted_proxies: should be an address, 10.0.0.1, or a network, "
    "10.0.0.0/8; found '*' in PAMPS_SERVER__trusted_proxies; "
    "set it in settings.toml or as PAMPS_SERVER__trusted_proxies",
    "SERVER__cors_origins=*": 'server.cors_origins: should be a list of texts, ["...", "..."]; '
    "found '*' in PAMPS_SERVER__cors_origins; set it in settings.toml or as PAMPS_SERVER__cors_origins",
    f"TEST_DB__uri=ada:{NOT_SHOWN}": "test_db.uri: should be postgresql://user:password@host:port/name, or empty; "
    "found (18 characters, not shown) in PAMPS_TEST_DB__uri; set it in .secrets.toml or as PAMPS_TEST_DB__uri",
    f"SECURITY__secret_key={NOT_SHOWN}": "security.secret_key: needs at least 32 characters (`openssl rand -base64 48` "
    "makes one), and this one has 14; found in PAMPS_SECURITY__secret_key; "
    "set it in .secrets.toml or as PAMPS_SECURITY__secret_key",
    f"SECURITY__secret_key__old={NOT_SHOWN}": "security.secret_key: input should be a valid string; "
    "found (25 characters, not shown) in PAMPS_SECURITY__secret_key__old; "
    "set it in .secrets.toml or as PAMPS_SECURITY__secret_key",
    f"SECURITY={NOT_SHOWN}": "security: is a section, not a setting; security.secret_key is one of its settings; "
    "found (14 characters, not shown) in PAMPS_SECURITY; set it in .secrets.toml or as PAMPS_SECURITY__secret_key",
    f"SECURITY__old_secret_keys={NOT_SHOWN}": 'security.old_secret_keys: should be a list of texts, ["...", "..."]; '
    "found (14 characters, not shown) in PAMPS_SECURITY__old_secret_keys; "
    "set it in .secrets.toml or as PAMPS_SECURITY__old_secret_keys",
    "SECURITY__old_secret_keys=[77777777777]": "security.old_secret_keys: input should be a valid string; "
    "found (11 characters, not shown) in PAMPS_SECURITY__old_secret_keys; "
    "set it in .secrets.toml or as PAMPS_SECURITY__old_secret_keys",
    f"SECURITY__old_secret_keys=['{NOT_SHOWN}']": "security.old_secret_keys: needs at least 32 characters "
    "(`openssl rand -base64 48` makes one), and this one has 14; found in PAMPS_SECURITY__old_secret_keys; "
    "set it in .secrets.toml or as PAMPS_SECURITY__old_secret_keys",
    f"SECURITY__secret_key=@int {NOT_SHOWN}": "what stands after the @ in PAMPS_SECURITY__secret_key "
    "can't be converted",
    "SECURITY__secret_key=@read_file /nowhere/key": "what stands after the @ in PAMPS_SECURITY__secret_key "
    "can't be found out: File /nowhere/key does not exist and no default value provided.",
}


@pytest.mark.parametrize(("given", "line"), BAD.items(), ids=BAD)
def test_a_bad_variable_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, line: str) -> None:
    name, _, value = given.partition("=")
    monkeypatch.setenv(f"PAMPS_{name}", value)
    assert refused(tmp_path) == line


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('[server]\nport = "80"')
    assert refused(tmp_path) == (
        "server.port: input should be a valid integer; found '80' in ./settings.toml; "
        "set it in settings.toml or as PAMPS_SERVER__port"
    )
    (tmp_path / ".secrets.toml").write_text("[server]\nport = 80\nprot = 80")
    assert refused(tmp_path) == (
        "server.prot: there is no such setting (found in ./.secrets.toml); "
        "did you mean server.port (PAMPS_SERVER__port in the environment)?"
    )


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (f'[server]\nport = "@int {NOT_SHOWN}"', "server.port can't be converted"),
        (f'[server]\ncors_origins = ["@int {NOT_SHOWN}"]', "server.cors_origins can't be converted"),
        (
            '[security]\nsecret_key = "@read_file /nowhere/key"',
            "security.secret_key can't be found out: File /nowhere/key does not exist and no default value provided.",
        ),
    ],
    ids=["int", "in a list", "read_file"],
)
def test_what_a_file_has_found_out_is_named(tmp_path: Path, file: str, said: str) -> None:
    (tmp_path / ".secrets.toml").write_text(file)
    assert refused(tmp_path) == f"what stands after the @ in {said}"


def test_two_settings_have_to_go_together(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("[security]\nargon2_lanes = 4\nargon2_memory = 31")
    assert refused(tmp_path) == (
        "security.argon2_memory: 31 is less than 8 for each of argon2_lanes, 4 (in ./settings.toml); "
        "found in ./settings.toml; set it in settings.toml or as PAMPS_SECURITY__argon2_memory"
    )


def test_two_variables_that_differ_in_case_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAMPS_SERVER__port", "1")
    monkeypatch.setenv("PAMPS_SERVER__PORT", "2")
    assert refused(tmp_path) in (
        "PAMPS_SERVER__port and PAMPS_SERVER__PORT are both in the environment, and are the same setting",
        "PAMPS_SERVER__PORT and PAMPS_SERVER__port are both in the environment, and are the same setting",
    )


@pytest.mark.parametrize("name", ["settings.toml", ".secrets.toml"])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(f"[security]\nsecret_key = {NOT_SHOWN}")
    assert refused(tmp_path) == f"./{name} isn't TOML: Invalid value (at line 2, column 14)"
    (tmp_path / name).write_bytes(b"[security]\nissuer = '\xff'")
    assert refused(tmp_path).startswith(f"./{name} isn't TOML: 'utf-8' codec can't decode byte 0xff in position 21")


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").mkdir()
    assert refused(tmp_path) == "./settings.toml can't be read: Is a directory"


MAIL = {"host": "'smtp.example.com'", "sender": "'Pamps <p@example.com>'", "base_url": "'https://app.example.com'"}
A_MAILBOX = "sender: should be as pamps@example.com or Pamps <pamps@example.com>"
A_PAGE = "base_url: should be as https://app.example.com, without a / at the end, or empty"
BAD_MAIL = {
    "sender=''": "sender: is needed where mail.host is set, and this one is empty",
    "base_url=''": "base_url: is needed where mail.host is set, and this one is empty",
    "sender='Ada'": A_MAILBOX,
    r'sender="Ada\nBcc: eve@example.com <ada@example.com>"': A_MAILBOX,
    "base_url='https://x.org/'": A_PAGE,
    "base_url='javascript:x'": A_PAGE,
    "verification_path='/verify'": "verification_path: should be the path of a page, with {token} in it once",
    "password_reset_path='/{token}{x}'": "password_reset_path: should be the path of a page, with {token} in it once",
    "username='ada'": "password: is empty, and the other of mail.username and mail.password is not",
    f"password='{NOT_SHOWN}'": "username: is empty, and the other of mail.username and mail.password is not",
    "resend_minutes=61": "resend_minutes: is more than mail.password_reset_expire_minutes: "
    "somebody would be without a link",
    "tls='none'": "tls: production sends no mail to smtp.example.com in the clear, and this is none",
}


@pytest.mark.parametrize(("changed", "said"), BAD_MAIL.items(), ids=BAD_MAIL)
def test_mail_that_can_not_be_sent_safely_stops_the_start(tmp_path: Path, changed: str, said: str) -> None:
    name, _, value = changed.partition("=")
    settings = production(tmp_path, STRONG_SECRET) / "settings.toml"
    for mail in (MAIL, {**MAIL, name: value}):
        settings.write_text("env = 'production'\n[mail]\n" + "\n".join(f"{key} = {mail[key]}" for key in mail))
        if mail is MAIL:
            assert load_settings(tmp_path).mail.host == "smtp.example.com"
    assert refused(tmp_path).startswith(f"mail.{said}; found ")


def production(directory: Path, key: str) -> Path:
    (directory / "settings.toml").write_text("env = 'production'")
    (directory / ".secrets.toml").write_text(f"[security]\nsecret_key = '{key}'" if key else "")
    return directory


def test_production_accepts_a_strong_secret(tmp_path: Path) -> None:
    settings = load_settings(production(tmp_path, STRONG_SECRET))
    assert (settings.env, settings.security.secret_key) == ("production", STRONG_SECRET)


def test_production_refuses_to_go_without_a_secret(tmp_path: Path) -> None:
    assert refused(production(tmp_path, "")) == (
        "security.secret_key: production needs one (`openssl rand -base64 48` makes one), and this one is empty; "
        "found in default.toml; set it in .secrets.toml or as PAMPS_SECURITY__secret_key"
    )


def test_a_short_secret_is_refused_everywhere(tmp_path: Path) -> None:
    line = refused(production(tmp_path, STRONG_SECRET[:31]))
    assert line == (
        "security.secret_key: needs at least 32 characters (`openssl rand -base64 48` makes one), and this one has 31; "
        "found in ./.secrets.toml; set it in .secrets.toml or as PAMPS_SECURITY__secret_key"
    )
    (tmp_path / "settings.toml").unlink()
    assert refused(tmp_path) == line


@pytest.mark.parametrize(
    "key",
    [
        "a" * 40,
        "0123456789" * 4,
        "change-me-" + STRONG_SECRET,
        "My-Very-SECRET-Key-" + STRONG_SECRET,
        "example" + STRONG_SECRET,
        "x7" * 20,
    ],
)
def test_production_refuses_an_example(tmp_path: Path, key: str) -> None:
    assert refused(production(tmp_path, key)) == (
        "security.secret_key: looks like an example, not like a secret (`openssl rand -base64 48` makes one); "
        "found in ./.secrets.toml; set it in .secrets.toml or as PAMPS_SECURITY__secret_key"
    )


@pytest.mark.parametrize(
    ("old", "problem"),
    [
        ("example" + STRONG_SECRET, "looks like an example, not like a secret (`openssl rand -base64 48` makes one)"),
        (
            STRONG_SECRET,
            "has the key in it that security.secret_key is; that needs a new one (`openssl rand -base64 48` makes one)",
        ),
    ],
)
def test_production_is_as_strict_with_an_old_key(tmp_path: Path, old: str, problem: str) -> None:
    production(tmp_path, STRONG_SECRET)
    with (tmp_path / ".secrets.toml").open("a") as file:
        file.write(f"\nold_secret_keys = ['{STRONG_SECRET[::-1]}', '{old}']")
    assert refused(tmp_path) == (
        f"security.old_secret_keys: {problem}; "
        "found in ./.secrets.toml; set it in .secrets.toml or as PAMPS_SECURITY__old_secret_keys"
    )


def test_a_bad_setting_ends_the_command_with_one_line(tmp_path: Path) -> None:
    done = pamps("serve", cwd=tmp_path, env=environment(server__port="eighty"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "server.port: input should be a valid integer; found 'eighty' in PAMPS_server__port; "
        "set it in settings.toml or as PAMPS_SERVER__port\n"
    )
