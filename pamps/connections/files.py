"""How many files, and so connections, a process may have open."""

import resource

from pamps import config

FILES_BESIDE = 256  # open files of a server process that are no connections of clients, and then some


def most_connections(settings: config.Server) -> int:
    """How many connections a server process holds: no more than the system lets it, beside what else it has open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(settings.max_connections, max(files - FILES_BESIDE, 1)) if files > 0 else settings.max_connections


def open_all_files() -> None:
    """Let this process and those that it starts open as many files as the system allows it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
