"""`pamps doctor`: a look at everything that Pamps stands on. One finding for each check, and what to do about it."""

import json
from collections.abc import Iterator

import typer

from pamps import startup
from pamps.commands import checks
from pamps.commands.checks import FAIL, WARN, Finding
from pamps.commands.console import one_line
from pamps.commands.ready import engine_of, in_one_line
from pamps.config import Settings
from pamps.errors import ConfigurationError, PampsError
from pamps.loading import current_settings


def report(repair: bool, as_json: bool) -> bool:
    """Print what is found; whether nothing failed."""
    found = []
    for finding in examine(repair):
        found.append(finding)
        if not as_json:
            said = ": ".join(part for part in (finding.said, finding.advice) if part)
            typer.echo(one_line_of(finding.result, finding.check, said))
    if as_json:
        typer.echo(json.dumps([finding._asdict() for finding in found], indent=2, ensure_ascii=False))
    return all(finding.result != FAIL for finding in found)


def one_line_of(result: str, check: str, said: str) -> str:
    return f"{result:4}  {check:13}  {one_line(said)}"


def examine(repair: bool) -> Iterator[Finding]:
    """What each check finds, as soon as it has. Nothing is changed, but counters if they are to be repaired."""
    try:
        settings = current_settings()
    except ConfigurationError as error:
        yield Finding("configuration", FAIL, error.detail, "mend that first; nothing else can be looked at before")
        return
    yield checks.configuration(settings)
    for name, check in checks.OF_THIS_MACHINE.items():
        try:
            yield check(settings)
        except OSError as error:
            yield Finding(name, FAIL, str(error), "run this as the account that Pamps runs under")
    yield from examine_database(settings, repair)


def examine_database(settings: Settings, repair: bool) -> Iterator[Finding]:
    done = 0
    try:
        if not settings.db.uri and not (settings.db.directory / "data").exists():
            yield Finding("database", WARN, "there is none yet", "pamps serve makes one")
            return
        with startup.database(settings) as uri, engine_of(uri, settings) as engine, in_one_line():
            for check in checks.OF_THE_DATABASE.values():
                yield check(engine, settings, repair)
                done += 1
    except (PampsError, OSError) as error:
        at, *after = list(checks.OF_THE_DATABASE)[done:]
        elsewhere = "see that it runs, and that db.uri names it and somebody whom it lets in"
        advice = elsewhere if settings.db.uri else f"{settings.db.directory / 'log'} may say more"
        yield Finding(at, FAIL, error.detail if isinstance(error, PampsError) else str(error), advice)
        for name in after:
            yield Finding(name, WARN, "not looked at", f"see to the {at} first")
