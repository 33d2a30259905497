"""The command line: `pamps`. Each command calls the same statements as the API.

Here are the commands' signatures and help. What they do is imported when they do it, so that `pamps --help` is quick.
"""

import signal
import sys
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from pamps import __version__
from pamps.commands.console import confirmed, explained, fail, password, say
from pamps.errors import ConfigurationError, InvalidRequest, PampsError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich")

PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


def main() -> NoReturn:
    """Run a command. An error is one red line; exit code 1, or 2 if the command line is wrong, or 130 for Ctrl-C."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # not under nohup
            signal.signal(number, leave)
    try:
        for word in sys.argv:
            word.encode()
        sys.exit(app(prog_name="pamps", standalone_mode=False))
    except PampsError as error:
        fail(explained(error))
    except typer.TyperException as error:
        if not error.format_message():  # no command at all, and the help is printed
            sys.exit(error.exit_code)
        fail(usage(error), error.exit_code)
    except typer.Abort:
        fail("nothing was answered, so nothing was done")
    except UnicodeEncodeError:
        fail("the command line is not UTF-8", 2)
    except Exception as error:
        if "--traceback" in sys.argv:
            raise
        fail(f"unexpected: {type(error).__name__}: {error} (pamps --traceback ... shows where)")


def leave(number: int, frame: FrameType | None) -> NoReturn:
    """End in order, so that an embedded database that this command has started is stopped."""
    sys.exit(128 + number)


def usage(error: typer.TyperException) -> str:
    """What is wrong with the command line, and where to look."""
    context = getattr(error, "ctx", None)
    return f"{error.format_message()} ({context.command_path if context else 'pamps'} --help tells more)"


@app.callback(invoke_without_command=True)
def pamps(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show where an unexpected error comes from.")] = False,
) -> None:
    """Pamps: a microblog backend on FastAPI and PostgreSQL."""
    if version:
        say(__version__)
        raise typer.Exit()


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=256, help="Server processes.")] = None,
    reload: Annotated[
        bool, typer.Option("--reload", help="Start again when the code changes, in one process; for development.")
    ] = False,
) -> None:
    """Serve the API, on an embedded PostgreSQL unless db.uri names another."""
    from pamps.commands.serve import serve

    serve(host, port, workers, reload)


@app.command()
def migrate(
    to: Annotated[str, typer.Option(help="The revision to go to, up or down; `base` empties the database.")] = "head",
    force: Annotated[bool, typer.Option("--force", help="Don't ask before going down.")] = False,
) -> None:
    """Bring the database's schema up to this version, or back down: what an older one has no place for is lost."""
    from pamps import schema, startup
    from pamps.commands.ready import revision_of
    from pamps.loading import current_settings

    if to not in ("base", "head", *schema.revisions()):
        raise typer.BadParameter(f"there is no revision {to}; there are base, {', '.join(schema.revisions())}")
    settings = current_settings()
    with startup.database(settings) as uri:
        startup.wait_for_database(uri, settings)
        if schema.is_below(to, revision_of(uri, settings)) and not force:
            lost = "all of it" if to == "base" else "what that has no place for"
            if not confirmed(f"Take the schema back to {to}, and lose {lost}?", instead="--force"):
                fail("nothing was changed")
        startup.migrate(uri, to)
    say(f"The schema is at {schema.head() if to == 'head' else to}.")


@app.command("create-user", help="The same as [bold]adduser[/bold].")
@app.command()
def adduser(
    email: Annotated[str, typer.Argument()],
    username: Annotated[str, typer.Argument(help="2 to 30 letters, digits, _ . or -")],
    password: Annotated[
        str | None,
        typer.Argument(help="Better left out: it shows in the shell's history. Pamps asks for it.", show_default=False),
    ] = None,
    password_stdin: PasswordStdin = False,
    name: Annotated[str | None, typer.Option(help="The name to show.")] = None,
    bio: Annotated[str | None, typer.Option(help="Some words about them.")] = None,
    avatar: Annotated[str | None, typer.Option(help="The address of a picture.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="Make them an admin.")] = False,
) -> None:
    """Add a user."""
    from pamps.commands import accounts, console
    from pamps.loading import current_settings

    if password is not None and password_stdin:
        raise typer.BadParameter("the password is on the command line already", param_hint="--password-stdin")
    settings = current_settings()
    profile = accounts.profile(email=email, username=username, name=name, bio=bio, avatar=avatar)
    added = accounts.add(settings, profile, console.password(password_stdin) if password is None else password, admin)
    say(f"Added {'admin' if admin else 'user'} {added['id']}: {added['username']}, {email}")


@app.command()
def passwd(username: Annotated[str, typer.Argument()], password_stdin: PasswordStdin = False) -> None:
    """Give a user a new password, and end their sessions."""
    from pamps.commands import accounts
    from pamps.loading import current_settings

    accounts.set_password(current_settings(), username, password(password_stdin))
    say(f"{username} has a new password and is signed out everywhere.")


@app.command()
def two_factor_off(username: Annotated[str, typer.Argument()]) -> None:
    """Turn off the second factor of a user who has lost it and the recovery codes."""
    from pamps.commands import accounts
    from pamps.loading import current_settings

    accounts.drop_second_factor(current_settings(), username)
    say(f"{username} signs in with the password alone.")


@app.command()
def role(
    username: Annotated[str, typer.Argument()],
    role: Annotated[str, typer.Argument(help="user, moderator or admin")],
) -> None:
    """Give a user a role."""
    from pamps.commands import accounts
    from pamps.loading import current_settings

    accounts.give_role(current_settings(), username, role)
    say(f"{username} has the role {role}.")


@app.command()
def suspend(
    username: Annotated[str, typer.Argument()],
    reason: Annotated[str, typer.Option(help="Why: they are told when they try to sign in.")],
) -> None:
    """Suspend an account: it is signed out everywhere, and nobody sees it or what it wrote."""
    from pamps.commands import accounts
    from pamps.loading import current_settings

    accounts.suspend(current_settings(), username, reason)
    say(f"{username} is suspended.")


@app.command()
def unsuspend(username: Annotated[str, typer.Argument()]) -> None:
    """Let a suspended account back."""
    from pamps.commands import accounts
    from pamps.loading import current_settings

    accounts.let_back(current_settings(), username)
    say(f"{username} is back.")


@app.command()
def user_list(
    prefix: Annotated[str, typer.Option("--filter", "-f", help="How the username or the name begins.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object for each, one a line.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="How many at most; all, unless you say.")] = None,
) -> None:
    """List the users, newest first."""
    from pamps.commands.listing import show_users
    from pamps.loading import current_settings

    show_users(current_settings(), prefix, limit, json)


@app.command()
def shell() -> None:
    """A Python shell with a session, the models and select; a script may come on standard input."""
    from pamps.commands.shell import interact
    from pamps.loading import current_settings

    interact(current_settings())


@app.command()
def reset_db(
    force: Annotated[bool, typer.Option("--force", help="Don't ask.")] = False,
    database: Annotated[str | None, typer.Option(help="The database's name; production wants to be told.")] = None,
) -> None:
    """Empty the database: every user and every post is gone."""
    from pamps import startup
    from pamps.commands.ready import name_of
    from pamps.loading import current_settings

    settings = current_settings()
    with startup.database(settings) as uri:
        name = name_of(uri, settings)
        if database is None and settings.env == "production":
            raise ConfigurationError("this is production: say --database NAME to empty the database of that name")
        if database not in (None, name):
            raise InvalidRequest(f"the database is named {name}, not {database}; nothing was changed")
        if not force and not confirmed(f"Delete everything in the database {name}?", instead="--force"):
            fail("nothing was changed")
        startup.migrate(uri, "base")
        startup.migrate(uri)
    say(f"The database {name} is empty.")


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where to. It will hold emails and password hashes.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a backup of the database, while it is served or not; the file is checked, and there whole or not at all."""
    from pamps.commands.backup import back_up
    from pamps.loading import current_settings

    revision = back_up(current_settings(), file, force)
    say(f"Backed up the schema {revision} and all that is in it to {file}, {file.stat().st_size} bytes.")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `pamps backup` has written.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the data that is there.")] = False,
    database: Annotated[str | None, typer.Option(help="The database's name; production wants to be told.")] = None,
) -> None:
    """Restore a backup, all of it or nothing, and bring its schema up to this version."""
    from pamps import schema
    from pamps.commands.restore import restore
    from pamps.loading import current_settings

    done = restore(current_settings(), file, force, database)
    say(f"Restored {file} into the database {done.name}.")
    if done.revision != schema.head():
        say(f"The schema was {done.revision} and is {schema.head()}.")
    if done.repaired:
        say(f"{done.repaired} counters were wrong in it, and are right.")


@app.command()
def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Set counters right that are wrong.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look at everything that Pamps stands on, and say what to do about it; exit code 1 if something fails."""
    from pamps.commands.doctor import report

    if not report(repair, json):
        raise typer.Exit(1)


@app.command()
def demo(
    users: Annotated[int, typer.Option(min=1, help="How many people.")] = 50,
    posts: Annotated[int, typer.Option(min=0, help="How many posts, a third of them replies.")] = 500,
    likes: Annotated[int | None, typer.Option(min=0, help="About how many likes; four a post, unless you say.")] = None,
    follows: Annotated[int | None, typer.Option(min=0, help="About how many follows; eight a person.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed makes other people and other posts.")] = 1,
    until: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="The last day; it began eight months before.")
    ] = datetime(2026, 11, 22),
) -> None:
    """Fill the database with people who post, reply, like and follow, to look around in."""
    from pamps.commands.demo import Size, fill
    from pamps.loading import current_settings

    size = Size(users, posts, posts * 4 if likes is None else likes, users * 8 if follows is None else follows)
    fill(current_settings(), size, seed, until)


@app.command()
def openapi() -> None:
    """Print the OpenAPI document. Needs no database."""
    import json

    from pamps.app import create_app

    typer.echo(json.dumps(create_app().openapi(), indent=2, ensure_ascii=False))


@app.command()
def config(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show every setting: its value (but no secret), and where that comes from."""
    from pamps.commands.effective import show
    from pamps.loading import current_settings

    show(current_settings(), json)
