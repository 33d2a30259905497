"""Mail on its way when the database is killed: none that was acknowledged is lost."""

from pathlib import Path

from tests.clusters import Cluster
from tests.mailbox import Mailbox
from tests.mailing import Place, ask
from tests.processes import until

pytest_plugins = "tests.cluster_fixtures"


def test_a_database_that_is_killed_while_mail_is_on_its_way_loses_none(folder: Path, cluster: Cluster) -> None:
    """What was acknowledged is delivered; what a process had taken and lost, by whoever comes first after a minute."""
    mailbox, asked = Mailbox(), 0
    place = Place(cluster.start(), folder)
    with mailbox.open(), place.serving(mailbox, "--workers", "2") as server:
        everybody = [server.register(f"user{number}") for number in range(4)]
        for killed in range(1, 4):
            for headers in everybody * 5:
                ask(server, headers)
            asked += 20
            until(lambda: len(mailbox.taken) > asked - 20)  # noqa: B023
            cluster.kill()
            cluster.start()
            server.wait_until_ready()
            place.sql("UPDATE pgqueuer SET heartbeat = heartbeat - interval '1 hour' WHERE status = 'picked'")
            until(lambda: place.jobs() == [])
            assert len({message["Message-ID"] for message in mailbox.taken}) == asked, killed
