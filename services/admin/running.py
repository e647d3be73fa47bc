"""Runs one command: finds the gateway, runs the work, turns every end into a sentence and an exit code.

Nothing that goes wrong shows a traceback; a fault of the command itself says how to get one.
"""

import asyncio
import os
import sys
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import typer

from services.admin.client import Gateway
from services.admin.connection import Connection, find_connection
from services.admin.failures import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, Failure, explain
from services.admin.screen import complain, say
from services.admin.settings import Settings
from services.runtime.errors import TgfleetError
from services.runtime.redact import redact_text
from services.runtime.settings import load

Work = Callable[[Gateway], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Options:
    """What stood before the command's name."""

    data: Path | None = None
    debug: bool = False


def run(context: typer.Context, work: Work, *, interrupted: str = "Stopped.") -> None:
    """Runs `work`, which gives the exit code, on a connected gateway. `interrupted` is said after Ctrl-C."""
    options: Options = context.find_root().obj or Options()
    raise typer.Exit(guarded(lambda: _work(options, work), interrupted=interrupted, debug=options.debug))


def guarded(action: Callable[[], int], *, interrupted: str = "Stopped.", debug: bool = False) -> int:
    """Runs an action and gives its exit code; says what went wrong, if anything did."""
    try:
        return action()
    except KeyboardInterrupt:
        say(interrupted)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except TgfleetError as error:
        return tell(explain(error))
    except Exception as error:  # noqa: BLE001 - the last place before the person
        if debug:
            traceback.print_exc()
        text = redact_text(f"{type(error).__name__}: {error}")
        return tell(
            Failure(
                f"Something unexpected happened in this command ({text}).",
                "Run it as `tgfleet --debug ...` for the details, and report them.",
                EXIT_FAILED,
            )
        )


def tell(failure: Failure) -> int:
    """Says it; its exit code."""
    complain(failure.sentence, failure.advice)
    return failure.exit_code


def _work(options: Options, work: Work) -> int:
    settings = load(Settings, os.environ)
    if options.data is not None:
        settings = Settings(
            gateway=settings.gateway,
            token=settings.token,
            token_file=settings.token_file,
            gateway_ca_file=settings.gateway_ca_file,
            gateway_plaintext=settings.gateway_plaintext,
            data=options.data.expanduser(),
        )
    connection = find_connection(settings, os.environ)
    return asyncio.run(_connected(connection, work))


async def _connected(connection: Connection, work: Work) -> int:
    try:
        async with Gateway(connection) as gateway:
            return await work(gateway)
    except TgfleetError as error:
        return tell(explain(error, str(connection.gateway)))
