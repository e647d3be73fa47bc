"""Turns what the domain says into the errors that callers get, and names accounts in them."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.registry.domain.errors import BadValueError
from services.runtime.errors import InvalidArgument, NotFound


@contextmanager
def named(prefix: str = "") -> Iterator[None]:
    """Raises InvalidArgument for a bad value, its field below `prefix` (`account` -> `account.name`)."""
    try:
        yield
    except BadValueError as error:
        field = f"{prefix}.{error.field}" if prefix else error.field
        raise InvalidArgument(error.sentence, field=field, reason=error.reason) from error


def account_not_found(*refs: str, field: str = "account_id") -> NotFound:
    """For accounts that were named by id or name and do not exist. Names that may be phone numbers are masked
    on their way out by the runtime."""
    shown = ", ".join(ref[:64] for ref in refs[:10])
    more = f" and {len(refs) - 10} more" if len(refs) > 10 else ""  # noqa: PLR2004 - a sentence's length
    return NotFound(
        f"There is no account {shown}{more}.",
        reason="ACCOUNT_NOT_FOUND",
        metadata={"accounts": ",".join(refs[:10])},
        field=field,
    )
