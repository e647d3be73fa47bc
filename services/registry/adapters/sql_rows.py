"""Between rows and domain objects. Knows no statements."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from functools import lru_cache
from typing import Any

from services.registry.domain.account import (
    NOT_BLOCKED,
    Account,
    Block,
    ChatPolicy,
    FloodWait,
    Reason,
    SessionLocation,
    Startable,
    TransferPolicy,
)
from services.registry.domain.audit import Entry, Outcome
from services.registry.domain.leasing import Generation
from services.registry.domain.tokens import Role, Token
from services.registry.ports import FleetFlags, Sealed, SealedSecret

_LOCATIONS = {location.value: location for location in SessionLocation}
_REASONS = {reason.value: reason for reason in Reason}


def account_from(row: Any, labels: Mapping[str, str]) -> Account:
    """An account from a row of ACCOUNTS and its labels."""
    return Account(
        account_id=row.account_id,
        name=row.name,
        labels=dict(labels),
        priority=row.priority,
        enabled=row.enabled,
        user_id=row.user_id,
        auth_key_id=row.auth_key_id or "",
        session_location=_LOCATIONS[row.session_location],
        home_worker=row.home_worker,
        session_file=row.session_file,
        proxy_public=row.proxy_public,
        api_id=row.api_id,
        device_model=row.device_model,
        time_zone=row.time_zone,
        chat_policy=_policy_from(row.chat_policy),
        transfer_policy=_transfer_policy_from(row.transfer_policy),
        wanted_running=row.wanted_running,
        wanted_chatting=row.wanted_chatting,
        block=Block(
            _REASONS[row.block_reason],
            _REASONS[row.block_cause],
            row.block_detail,
            row.block_retry_time,
            row.block_since,
        ),
        settle=None if row.settle_ms is None else timedelta(milliseconds=row.settle_ms),
        crash_streak=row.crash_streak,
        last_worker_id=row.last_worker_id,
        create_time=row.create_time,
        update_time=row.update_time,
        revision=row.revision,
    )


STARTABLE = (
    "account_id",
    "name",
    "enabled",
    "user_id",
    "session_location",
    "home_worker",
    "session_file",
    "auth_key_id",
    "proxy_public",
    "api_id",
    "device_model",
    "time_zone",
    "chat_policy",
    "settle_ms",
    "block_reason",
)
"""The columns of ACCOUNTS that `startable_from` takes, before those of the sealed session."""


def startable_from(row: Any) -> tuple[Startable, Sealed | None]:
    """From STARTABLE and a session's key id, nonce and ciphertext, which are null when there is none. Of a
    block only the reason is known."""
    account_id, name, enabled, user_id, location, home, file, key, proxy, api_id, model, zone = row[:12]
    policy, settle_ms, block, key_id, nonce, ciphertext = row[12:]
    startable = Startable(
        account_id,
        name,
        enabled,
        user_id,
        _LOCATIONS[location],
        home,
        file,
        key or "",
        proxy,
        api_id,
        model,
        zone,
        _policy_from(policy),
        NOT_BLOCKED if block == Reason.UNSPECIFIED.value else Block(_REASONS[block]),
        None if settle_ms is None else timedelta(milliseconds=settle_ms),
    )
    return startable, None if key_id is None else Sealed(key_id, nonce, ciphertext)


def account_values(account: Account) -> dict[str, Any]:
    """The columns of ACCOUNTS for an account."""
    return {
        "account_id": account.account_id,
        "name": account.name,
        "priority": account.priority,
        "enabled": account.enabled,
        "user_id": account.user_id,
        "auth_key_id": account.auth_key_id or None,
        "session_location": account.session_location.value,
        "home_worker": account.home_worker,
        "session_file": account.session_file,
        "proxy_public": account.proxy_public,
        "api_id": account.api_id,
        "device_model": account.device_model,
        "time_zone": account.time_zone,
        "chat_policy": _policy_text(account.chat_policy),
        "transfer_policy": _policy_text(account.transfer_policy),
        "wanted_running": account.wanted_running,
        "wanted_chatting": account.wanted_chatting,
        "block_reason": account.block.reason.value,
        "block_cause": account.block.cause.value,
        "block_detail": account.block.detail,
        "block_retry_time": account.block.retry_time,
        "block_since": account.block.since,
        "settle_ms": None if account.settle is None else milliseconds(account.settle),
        "crash_streak": account.crash_streak,
        "last_worker_id": account.last_worker_id,
        "create_time": account.create_time,
        "update_time": account.update_time,
        "revision": account.revision,
    }


def milliseconds(duration: timedelta) -> int:
    """Whole milliseconds."""
    return round(duration.total_seconds() * 1000)


@lru_cache(maxsize=1024)
def _policy_from(text: str) -> ChatPolicy:
    """Most accounts have the same few policies, and many accounts are read at once."""
    values = json.loads(text)
    return ChatPolicy(tuple(values["chat_ids"]), tuple(values["user_ids"]), bool(values["contacts"]))


@lru_cache(maxsize=1024)
def _transfer_policy_from(text: str) -> TransferPolicy:
    values = json.loads(text)
    return TransferPolicy(int(values["daily_cap"]), tuple(values["allowed_hours"]))


def _policy_text(policy: ChatPolicy | TransferPolicy) -> str:
    return json.dumps(asdict(policy), separators=(",", ":"))


def flood_from(row: Any) -> FloodWait:
    """A wait from a row of FLOODS."""
    return FloodWait(row.method, row.chat_id, row.until_time)


def sealed_from(row: Any) -> Sealed:
    """A ciphertext from a row of SECRETS."""
    return Sealed(row.key_id, row.nonce, row.ciphertext)


def flags_from(row: Any) -> FleetFlags:
    """From the row of FLEET."""
    return FleetFlags(row.revision, row.starts_stopped, row.resumed_time)


def secret_from(row: Any) -> SealedSecret:
    """A secret and where it lies, from a row of SECRETS."""
    return SealedSecret(row.account_id, row.purpose, sealed_from(row))


def entry_from(row: Any) -> Entry:
    """An entry of the audit trail from a row of AUDIT."""
    return Entry(
        entry_id=row.entry_id,
        time=row.time,
        token_name=row.token_name,
        role=row.role,
        peer=row.peer,
        method=row.method,
        targets=tuple(json.loads(row.targets)),
        outcome=Outcome(row.outcome),
        reason=row.reason,
        detail=row.detail,
        request_id=row.request_id,
    )


def entry_values(entry: Entry) -> dict[str, Any]:
    """The columns of AUDIT."""
    return {**asdict(entry), "targets": json.dumps(entry.targets), "outcome": entry.outcome.value}


def token_from(row: Any) -> Token:
    """A token from a row of TOKENS."""
    return Token(row.name, Role(row.role), row.create_time, row.expire_time, row.last_use_time)


def generation_from(row: Any) -> Generation:
    """From the row of GENERATION."""
    return Generation(
        row.number, row.opened_at, int(row.cluster_id), row.high_water, mirrored=row.mirrored, waits=row.waits
    )


def generation_values(generation: Generation) -> dict[str, Any]:
    """The columns of GENERATION."""
    return {
        "number": generation.number,
        "opened_at": generation.opened_at,
        "cluster_id": str(generation.cluster_id),
        "high_water": generation.high_water,
        "mirrored": generation.mirrored,
        "waits": generation.waits,
    }
