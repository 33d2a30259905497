"""Serving: the database, its schema, then uvicorn, and a clean end."""

import signal
import sys
from pathlib import Path
from types import FrameType

import uvicorn
from rich.console import Console

from pamps import startup
from pamps.config import Settings, current_settings

LOGGING = {
    **uvicorn.config.LOGGING_CONFIG,
    "loggers": {
        **uvicorn.config.LOGGING_CONFIG["loggers"],
        "pamps": {"handlers": ["default"], "level": "INFO", "propagate": False},
    },
}


def serve(host: str | None, port: int | None, workers: int | None, reload: bool) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are finished, then the embedded database is stopped.

    What is None comes from the settings. Raises ConfigurationError, EmbeddedError, DatabaseUnavailable.
    """
    # Until uvicorn takes the signals over, and again when it is done: end in order, with exit code 0.
    signal.signal(signal.SIGTERM, leave)
    settings = current_settings()
    host, port = host or settings.server.host, settings.server.port if port is None else port
    startup.with_secret(settings)  # made once, before several workers want it
    with startup.database(settings) as uri:
        if settings.auto_migrate:
            startup.wait_for_database(uri, settings)
            startup.migrate(uri)
        greet(settings, host, port)
        uvicorn.run(
            "pamps.app:create_app",
            factory=True,
            host=host,
            port=port,
            workers=workers or settings.server.workers,
            reload=reload,
            reload_dirs=[str(Path(__file__).parent)] if reload else None,
            loop="uvloop",
            http="httptools",
            server_header=False,
            access_log=settings.env != "production",
            log_config=LOGGING,
            timeout_graceful_shutdown=settings.server.shutdown_timeout,
        )


def leave(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


def greet(settings: Settings, host: str, port: int) -> None:
    """Say where everything is."""
    base = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"
    data = "the database that db.uri names" if settings.db.uri else str(settings.db.directory)
    console = Console(stderr=True, highlight=False)
    console.print(f"Pamps serves on [bold]{base}[/bold]", soft_wrap=True)
    console.print(f"  the API page    {base}/docs", soft_wrap=True)
    console.print(f"  the data        {data}", soft_wrap=True, markup=False)
    console.print("  the first user  pamps adduser you@example.com you", soft_wrap=True)
