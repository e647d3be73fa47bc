"""What every part of the fake gateway needs: its one token, a hostile name, and the log of what was asked."""

import json
import sys
from typing import Any

from services.runtime.errors import Unauthenticated

TOKEN = "tgf_the_right_token_00"
STRANGE = "mallory\x1b[31m\u202e[bold]red"
"""A name that tries to colour the terminal."""


def authenticate(context: Any) -> None:
    """As the real one, with one token."""
    if dict(context.invocation_metadata()).get("authorization") != f"Bearer {TOKEN}":
        raise Unauthenticated(
            "The token is not known here; it may have been revoked.", reason="TOKEN_INVALID"
        )


def log(call: str, **facts: Any) -> None:
    print(json.dumps({"call": call, **facts}), file=sys.stderr, flush=True)
