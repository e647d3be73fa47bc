"""The environment that children get: what the operator set, without what the fleet decides itself and
without secrets that only one service needs. Pure."""

from collections.abc import Mapping

from services.runtime.errors import SettingsError

DECIDED = frozenset(
    {
        *(f"TGFLEET_{name}_LISTEN" for name in ("GATEWAY", "REGISTRY", "SCHEDULER", "WORKER")),
        *(f"TGFLEET_{name}_ENDPOINTS" for name in ("ETCD", "REGISTRY", "SCHEDULER")),
        *(f"TGFLEET_{name}_DATABASE_URL" for name in ("REGISTRY", "SCHEDULER")),
        "TGFLEET_BOOTSTRAP_TOKEN_FILE",
        "TGFLEET_DATA",
        "TGFLEET_GATEWAY",
        "TGFLEET_GATEWAY_CA_FILE",
        "TGFLEET_GATEWAY_PLAINTEXT",
        *(f"TGFLEET_GATEWAY_TLS_{name}_FILE" for name in ("CERT", "KEY")),
        *(f"TGFLEET_TLS_{name}_FILE" for name in ("CERT", "KEY", "CA")),
        "TGFLEET_HEALTH_LISTEN",
        "TGFLEET_LEASE_SETTLE",
        "TGFLEET_LEASE_TTL",
        "TGFLEET_LIFELINE_FD",
        "TGFLEET_MASTER_KEY_FILE",
        "TGFLEET_READY_FD",
        "TGFLEET_TOKEN",
        "TGFLEET_TOKEN_FILE",
        "TGFLEET_WORKER_ID",
        "TGFLEET_WORKER_SESSIONS_DIR",
    }
)
"""Never handed on as it is: the supervisor gives each child its own value, or none."""
_TESTDC, _TELEGRAM, _USERBOT = "TGFLEET_TESTDC_", "TGFLEET_TELEGRAM_", "USERBOT_"


def common_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """For every child. Logs are JSON unless the operator wants text. Raises SettingsError for a fixed
    metrics port, which the processes would fight for."""
    metrics = environ.get("TGFLEET_METRICS_LISTEN", "").strip()
    if metrics not in {"", "off"} and not metrics.endswith(":0"):
        raise SettingsError(
            "TGFLEET_METRICS_LISTEN must have port 0 or be `off` here: each process has metrics of its own",
            reason="BAD_SETTING",
        )
    kept = {
        name: value
        for name, value in environ.items()
        if name not in DECIDED and not name.startswith((_TESTDC, _TELEGRAM, _USERBOT))
    }
    return {"TGFLEET_LOG_FORMAT": "json", **kept, "PYTHONUNBUFFERED": "1"}


def telegram_environment(environ: Mapping[str, str], *, live: bool) -> dict[str, str]:
    """For workers only: which Telegram, as which app."""
    kept = {name: value for name, value in environ.items() if name.startswith(_TELEGRAM)}
    return {**kept, "TGFLEET_TELEGRAM_LIVE": "1" if live else "0"}
