"""The composition root of `tgfleet up`: arguments and environment -> plan -> children, until somebody stops
it.

Exit codes: 0 after a stop that was asked for, 1 when the fleet could not be started or kept, 2 for wrong
arguments or settings.
"""

import asyncio
import os
import random
import sys
from collections.abc import Mapping, Sequence

from services.runtime.errors import SettingsError, TgfleetError
from services.standalone.arguments import parse_arguments
from services.standalone.console import Console
from services.standalone.domain.fleet import fleet_specs
from services.standalone.first_steps import first_steps
from services.standalone.prepare import Prepared, prepare
from services.standalone.run import run_fleet

EXIT_FAILED = 1
EXIT_USAGE = 2


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Runs the fleet; the exit code of the process."""
    arguments = parse_arguments(sys.argv[1:] if argv is None else argv, environ)
    os.umask(0o077)  # whatever the fleet writes is its owner's alone
    console = Console(hints=not arguments.no_hints)
    try:
        fleet: Prepared = prepare(arguments, environ, random.SystemRandom())
    except SettingsError as error:
        console.complain(error.message)
        return EXIT_USAGE
    except TgfleetError as error:
        console.complain(error.message)
        return EXIT_FAILED
    except OSError as error:
        console.complain(f"{arguments.data} cannot be used: {error.strerror} ({error.filename})")
        return EXIT_FAILED
    try:
        specs = fleet_specs(fleet.plan)
        return asyncio.run(run_fleet(fleet, specs, console, lambda: first_steps(fleet, console)))
    finally:
        fleet.lock.close()


if __name__ == "__main__":
    sys.exit(main())
