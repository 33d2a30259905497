"""What the server processes count: a directory for all of them, and a port of its own to ask at."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from pamps.config import Settings
from pamps.errors import ConfigurationError


@contextmanager
def measured(settings: Settings) -> Iterator[None]:
    """For as long as this lasts, the server processes that are started count, if anybody may see it.

    Raises ConfigurationError if the port can't be had.
    """
    if not settings.metrics.wanted:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="pamps-metrics-") as directory:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        if settings.metrics.port:
            answer(settings)
        yield


def answer(settings: Settings) -> None:
    """Answer /metrics on its own port, in a thread of this process."""
    from prometheus_client import start_http_server

    from pamps import metrics

    host, port = settings.metrics.host, settings.metrics.port
    try:
        start_http_server(port, host, metrics.of_all())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(f"metrics.port: can't listen on {host} port {port}: {reason}") from None
