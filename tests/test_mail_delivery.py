"""Delivery: what a mail server may do, and what becomes of mail when it, the database or a server process is away."""

import datetime
import ipaddress
import re
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.checkout import ROOT
from tests.mailbox import HOST, Mailbox, Silent, served
from tests.mailing import MAIL, Place, ask
from tests.processes import environment, pamps, serving, until

pytest_plugins = "tests.mail_fixtures"


def test_a_mail_server_that_is_away_gets_the_mail_when_it_is_back(place: Place) -> None:
    mailbox = Mailbox()
    with place.serving(mailbox) as server:
        ask(server, server.register("ada"))
        until(lambda: place.jobs()[0][1] >= 2)
        with mailbox.open():
            mailbox.wait()
        until(lambda: place.jobs() == [])
    assert "is tried again in" in server.output
    assert "ada@example.com" not in server.output


def test_a_mail_server_that_says_nothing_holds_up_no_request_and_no_end(place: Place) -> None:
    mailbox = Mailbox()
    with served(Silent, mailbox.port), place.serving(mailbox, mail__timeout=600) as server:
        ada = server.register("ada")
        for _ in range(20):
            ask(server, ada)
        until(lambda: [status for status, _ in place.jobs()].count("picked") == 10)
        assert server.publish(ada, "Hello!").status_code == 201
        assert server.stop() == 0
    assert {status for status, _ in place.jobs()} == {"queued"}
    with mailbox.open(), place.serving(mailbox):
        mailbox.wait(20)


def test_busy_is_tried_again_and_no_is_given_up_at_once(place: Place) -> None:
    mailbox = Mailbox()
    with mailbox.open(), place.serving(mailbox) as server:
        ada = server.register("ada")
        mailbox.replies = ["451 4.3.0 busy", "421 4.3.2 restarting"]
        ask(server, ada)
        mailbox.wait()
        assert len(mailbox.tried) == 3
        mailbox.replies = ["550 5.1.1 <ada@example.com>: no such user"]
        ask(server, ada)
        until(lambda: place.jobs() == [("failed", 0)])
        assert len(mailbox.tried) == 4
        ask(server, ada)
        mailbox.wait(2)
        no = "550 5.1.1 <(the recipient)>: no such user"
        server.expected = {f"mail 2 (verification, user 1) is given up: {no}"}
    assert "ada@example.com" not in server.output


def test_what_can_not_be_sent_for_days_is_given_up_and_sent_once_an_operator_says_so(place: Place) -> None:
    (again,) = re.findall(r"`(UPDATE pgqueuer .*)`", (ROOT / "docs" / "operations.md").read_text())
    mailbox = Mailbox()
    with place.serving(mailbox, mail__give_up_days=0.000001) as server:
        ask(server, server.register("ada"))
        until(lambda: place.jobs() == [("failed", 0)])
        away = f"Error connecting to 127.0.0.1 on port {mailbox.port}: [Errno 111] Connection refused"
        server.expected = {f"mail 1 (verification, user 1) is given up: {away}"}
    with mailbox.open(), place.serving(mailbox):
        place.sql(again)
        mailbox.wait()
        until(lambda: place.jobs() == [])


def test_a_mail_of_a_process_that_is_killed_is_sent_by_the_next(place: Place) -> None:
    mailbox = Mailbox()
    with served(Silent, mailbox.port), place.serving(mailbox, mail__timeout=600) as server:
        ask(server, server.register("ada"))
        until(lambda: place.jobs() == [("picked", 0)])
        server.process.kill()
        server.process.wait()
    assert place.jobs() == [("picked", 0)]
    place.sql("UPDATE pgqueuer SET heartbeat = heartbeat - interval '1 hour'")  # as after as long
    with mailbox.open(), place.serving(mailbox):
        (message,) = mailbox.wait()
        until(lambda: place.jobs() == [])
    assert message["Message-ID"].endswith("@example.org>")


def test_what_an_operator_changes_is_told_to_whose_account_it_is(place: Place) -> None:
    mailbox = Mailbox()
    with mailbox.open(), place.serving(mailbox) as server:
        server.register("ada")
        place.sql("INSERT INTO two_factor (user_id, secret, enabled_at) SELECT id, 'x', now() FROM \"user\"")
        env = environment(db__uri=place.uri, **MAIL)
        for arguments in (("passwd", "Ada", "--password-stdin"), ("two-factor-off", "Ada")):
            assert pamps(*arguments, cwd=place.folder, env=env, stdin="another password").returncode == 0
        told = mailbox.wait(2)
        assert pamps("two-factor-off", "ada", cwd=place.folder, env=env).returncode == 1  # it is off
        place.sql("INSERT INTO two_factor (user_id, secret) SELECT id, 'x' FROM \"user\"")  # begun, and never on
        assert pamps("two-factor-off", "ada", cwd=place.folder, env=env).returncode == 1
        until(lambda: place.jobs() == [])
        nowhere = {name: value for name, value in env.items() if "mail" not in name} | {"PAMPS_ENV": "production"}
        again = pamps("passwd", "ada", "--password-stdin", cwd=place.folder, env=nowhere, stdin="one more password")
        assert (again.returncode, again.stderr) == (0, "")
        assert place.jobs() == []
        assert mailbox.taken == told
    assert {(message["To"], message["Subject"]) for message in told} == {
        ("ada@example.com", "Your Pamps password was changed"),
        ("ada@example.com", "The second factor of your Pamps account was turned off"),
    }


def test_of_many_workers_one_sends_each_mail(place: Place) -> None:
    mailbox = Mailbox()
    with mailbox.open(), place.serving(mailbox, "--workers", "2") as server:
        headers = server.register("ada")
        for _ in range(50):
            ask(server, headers)
        until(lambda: place.jobs() == [])
        assert len({message["Message-ID"] for message in mailbox.wait(50)}) == 50


def test_a_connection_that_is_cut_is_made_again(place: Place) -> None:
    mailbox = Mailbox()
    with mailbox.open(), place.serving(mailbox) as server:
        headers = server.register("ada")
        ask(server, headers)
        mailbox.wait()
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = "
        assert len(place.sql(f"{cut} current_database()")) >= 2
        until(lambda: server.get("/readyz").status_code == 200)
        ask(server, headers)
        mailbox.wait(2)


@pytest.mark.parametrize("account", [None, ("pamps", "hush-hush-0123")], ids=["nobody", "somebody"])
def test_starttls_and_signing_in(place: Place, account: tuple[str, str] | None) -> None:
    certificate, key = place.folder / "mail.crt", place.folder / "mail.key"
    self_signed(certificate, key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    mailbox = Mailbox(tls=context, account=account)
    known = {"mail__username": account[0], "mail__password": account[1]} if account else {}
    with mailbox.open(), place.serving(mailbox, mail__tls="starttls", **known) as server:
        headers = server.register("ada")
        ask(server, headers)
        until(lambda: place.jobs()[0][1] >= 1)
        assert mailbox.taken == []  # a certificate that nobody vouches for is no certificate
        assert server.stop() == 0
    env = environment(db__uri=place.uri, **{**MAIL, "mail__port": mailbox.port, "mail__tls": "starttls", **known})
    with mailbox.open(), serving(place.folder, {**env, "SSL_CERT_FILE": str(certificate)}):
        mailbox.wait()


def self_signed(certificate: Path, key: Path) -> None:
    """A certificate of this machine's address that only itself vouches for, and its key."""
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, secret.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(secret, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key.write_bytes(secret.private_bytes(*encoding))
