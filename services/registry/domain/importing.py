"""Adding accounts: what one item means, and which items of a batch may be added. Pure but for reading session
files' bytes.

Two steps, because the first may take long and needs no database: `prepare` checks an item for itself,
`decide` compares the prepared ones with each other and with what is there.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from services.registry.domain import values
from services.registry.domain.account import ChatPolicy, SessionLocation
from services.registry.domain.errors import BadValueError, NotASessionError
from services.registry.domain.proxy import Proxy, parse_proxy
from services.registry.domain.session import Session
from services.registry.domain.session_files import decode_session_file
from services.registry.domain.session_strings import decode_session_string

T = TypeVar("T")

MAX_ITEMS = 1000


@dataclass(frozen=True, slots=True)
class StringSource:
    """A session string."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class FileSource:
    """The bytes of a `.session` file."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class WorkerFileSource:
    """A file that stays on its worker."""

    worker_id: str
    file_name: str


@dataclass(frozen=True, slots=True)
class NoSource:
    """No session yet."""


Source = StringSource | FileSource | WorkerFileSource | NoSource | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One account to add, as asked; `source` None when the caller set none."""

    name: str
    labels: Mapping[str, str]
    priority: int
    source: Source
    home_worker: str
    proxy: str = field(repr=False)
    api_id: int
    chat_policy: ChatPolicy
    disabled: bool
    time_zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An item that is right in itself."""

    name: str
    labels: Mapping[str, str]
    priority: int
    kind: str
    location: SessionLocation
    session: Session | None = field(repr=False)
    home_worker: str
    session_file: str
    proxy: Proxy | None
    api_id: int
    chat_policy: ChatPolicy
    disabled: bool
    time_zone: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an item was not added. `field` is relative to the item."""

    name: str
    kind: str
    reason: str
    field: str
    detail: str


@dataclass(frozen=True, slots=True)
class Present:
    """What is there already: name -> id, key -> its account's name, (worker, file) -> its account's name."""

    names: Mapping[str, str]
    keys: Mapping[str, str]
    files: Mapping[tuple[str, str], str]


def prepare(item: Item) -> Prepared | Refusal:
    """The item, checked and decoded, or why it cannot be added."""
    kind = ""
    try:
        kind, location, session = _read_source(item.source)
        return Prepared(
            name=values.check_name(item.name),
            labels=values.check_labels(item.labels),
            priority=values.check_priority(item.priority),
            kind=kind,
            location=location,
            session=session,
            home_worker=_home_worker(item),
            session_file=item.source.file_name if isinstance(item.source, WorkerFileSource) else "",
            proxy=parse_proxy(item.proxy),
            api_id=_api_id(item.api_id, session),
            chat_policy=_policy(item.chat_policy),
            disabled=item.disabled,
            time_zone=values.check_time_zone(item.time_zone),
        )
    except BadValueError as bad:
        return Refusal(item.name, kind, bad.reason, bad.field, bad.sentence)


def decide(prepared: Sequence[Prepared | Refusal], present: Present) -> list[Prepared | Refusal]:
    """The same list, with a refusal for each item whose name or session is taken, be it by an earlier
    item."""
    names, keys, files = dict(present.names), dict(present.keys), dict(present.files)
    decided: list[Prepared | Refusal] = []
    for item in prepared:
        outcome = item if isinstance(item, Refusal) else _check_taken(item, names, keys, files)
        if isinstance(outcome, Prepared):
            names[outcome.name] = "an earlier item of this call"
            if outcome.session:
                keys[outcome.session.auth_key_id] = outcome.name
            if outcome.session_file:
                files[outcome.home_worker, outcome.session_file] = outcome.name
        decided.append(outcome)
    return decided


def fingerprint(prepared: Sequence[Prepared | Refusal]) -> bytes:
    """Tells one request's content from another's, without anything that could be guessed back to a secret."""
    parts = [_without_secrets(item) for item in prepared]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()


def _without_secrets(item: Prepared | Refusal) -> list[object]:
    if isinstance(item, Refusal):
        return [item.name, item.kind, item.reason, item.field]
    key = item.session.auth_key_id if item.session else ""
    proxy = item.proxy.public if item.proxy else ""
    source = [item.kind, key, item.home_worker, item.session_file, proxy, item.api_id]
    return [item.name, dict(item.labels), item.priority, *source, item.disabled, item.time_zone]


def _read_source(source: Source) -> tuple[str, SessionLocation, Session | None]:
    match source:
        case StringSource(text):
            session = _decoded("session_string", decode_session_string, text)
            return session.kind, SessionLocation.VAULT, session
        case FileSource(data):
            session = _decoded("session_file", decode_session_file, data)
            return session.kind, SessionLocation.VAULT, session
        case WorkerFileSource(worker_id, file_name):
            values.check_worker_id(worker_id, "worker_file.worker_id", required=True)
            values.check_file_name(file_name, "worker_file.file_name")
            return "worker-file", SessionLocation.WORKER_FILE, None
        case NoSource():
            return "none", SessionLocation.NONE, None
        case None:
            raise BadValueError(
                "source",
                "Say where the session comes from: session_string, session_file, worker_file or none.",
            )


def _decoded(field_name: str, decode: Callable[[T], Session], given: T) -> Session:
    try:
        return decode(given)
    except NotASessionError as error:
        raise BadValueError(field_name, str(error), "SESSION_INVALID") from error


def _home_worker(item: Item) -> str:
    if not isinstance(item.source, WorkerFileSource):
        return values.check_worker_id(item.home_worker, "home_worker")
    if item.home_worker not in {"", item.source.worker_id}:
        raise BadValueError("home_worker", "A session file's home worker is the worker that holds it.")
    return item.source.worker_id


def _api_id(api_id: int, session: Session | None) -> int:
    values.check_api_id(api_id)
    made_with = session.api_id if session else 0
    if api_id and made_with and api_id != made_with:
        raise BadValueError(
            "api_id",
            f"The session was made with api id {made_with}; it must go on with it.",
            "API_ID_MISMATCH",
        )
    return api_id or made_with


def _policy(policy: ChatPolicy) -> ChatPolicy:
    return ChatPolicy(
        values.check_chat_ids(policy.chat_ids, "chat_policy.chat_ids"),
        values.check_user_ids(policy.user_ids, "chat_policy.user_ids"),
        policy.contacts,
    )


def _check_taken(
    item: Prepared, names: Mapping[str, str], keys: Mapping[str, str], files: Mapping[tuple[str, str], str]
) -> Prepared | Refusal:
    """A session that is there comes first: it is the more telling of the two when somebody imports twice."""
    owner = (
        keys.get(item.session.auth_key_id)
        if item.session
        else files.get((item.home_worker, item.session_file))
    )
    if owner is not None:
        field_name = {"pyrogram-file": "session_file", "telethon-file": "session_file"}.get(
            item.kind, "session_string"
        )
        field_name = "worker_file" if item.session is None else field_name
        detail = f"This session is that of account {owner} already."
        return Refusal(item.name, item.kind, "SESSION_ALREADY_IMPORTED", field_name, detail)
    if item.name in names:
        return Refusal(item.name, item.kind, "NAME_TAKEN", "name", "Another account has this name.")
    return item
