"""Finds out which gateway to talk to and with which token: the environment first, then a local `tgfleet
up`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.admin.settings import Settings
from services.runtime.addresses import HostPort
from services.runtime.errors import SettingsError
from services.runtime.secret import Secret

SYSTEM_CAS = "system"
READY_FILE = "ready.json"


@dataclass(frozen=True, slots=True)
class Connection:
    """Where to call and as whom."""

    gateway: HostPort
    token: Secret[str]
    tls: bool = False
    roots: bytes | None = None
    """PEM of the CAs to trust with `tls`; None for the usual public ones."""


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """XDG's place for data: $XDG_DATA_HOME/tgfleet, by default ~/.local/share/tgfleet."""
    base = Path(environ.get("XDG_DATA_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".local" / "share") / "tgfleet"


def find_connection(settings: Settings, environ: Mapping[str, str]) -> Connection:
    """Raises SettingsError with a sentence on what is missing and how to give it.

    The local fleet's token is used for the local fleet's gateway only: it must not travel to another machine.
    """
    ready = _read_ready_file((settings.data or default_data_dir(environ)) / READY_FILE)
    local = _local_gateway(ready)
    gateway = settings.gateway or local
    if gateway is None:
        raise SettingsError(
            "No fleet is known here. Start one with `tgfleet up`, "
            "or set TGFLEET_GATEWAY to a gateway's host:port."
        )
    token = _given_token(settings)
    if token is None and gateway == local:
        token = str(ready.get("token") or "")
    if not token:
        raise SettingsError(
            f"There is no token for the gateway at {gateway}. "
            "Set TGFLEET_TOKEN_FILE to a file that holds one, or TGFLEET_TOKEN."
        )
    return _secured(gateway, Secret(token), settings)


def _secured(gateway: HostPort, token: Secret[str], settings: Settings) -> Connection:
    """With TLS if it is asked for. Raises SettingsError rather than let the token travel in clear."""
    file = settings.gateway_ca_file
    if file is not None:
        return Connection(gateway, token, True, None if str(file) == SYSTEM_CAS else _read_cas(file))
    if gateway.is_loopback or settings.gateway_plaintext:
        return Connection(gateway, token)
    raise SettingsError(
        f"The gateway {gateway} is on another machine and the token would travel there in clear. Set "
        "TGFLEET_GATEWAY_CA_FILE to the file with its CA (or to the word `system`), "
        "or TGFLEET_GATEWAY_PLAINTEXT=1 if nobody can listen on the way."
    )


def _read_cas(path: Path) -> bytes:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"The file {path} in TGFLEET_GATEWAY_CA_FILE cannot be read.") from error
    if b"-----BEGIN CERTIFICATE-----" not in text:
        raise SettingsError(f"The file {path} in TGFLEET_GATEWAY_CA_FILE holds no PEM certificate.")
    return text


def _given_token(settings: Settings) -> str | None:
    if settings.token is not None:
        return settings.token.reveal()
    if settings.token_file is None:
        return None
    try:
        return settings.token_file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The token file {settings.token_file} cannot be read.") from error


def _read_ready_file(path: Path) -> dict[str, Any]:
    """What a running `tgfleet up` left there; empty when there is none."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read; is it from this version of tgfleet?") from error
    return content if isinstance(content, dict) else {}


def _local_gateway(ready: Mapping[str, Any]) -> HostPort | None:
    try:
        return HostPort.parse(str(ready.get("gateway", "")))
    except ValueError:
        return None
