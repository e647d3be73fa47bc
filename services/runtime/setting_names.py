"""Every `TGFLEET_` name that any service reads: a name outside of this set stops the start.

Services share one environment and do not import each other, so the list stands here. Append yours; a test
compares the set with the union of all services' settings classes.
"""

ALL_NAMES: frozenset[str] = frozenset(
    {
        # every process (services.runtime.process)
        "TGFLEET_LOG_FORMAT",
        "TGFLEET_LOG_LEVEL",
        "TGFLEET_METRICS_LISTEN",
        "TGFLEET_SHUTDOWN_GRACE",
        "TGFLEET_HEALTH_LISTEN",
        "TGFLEET_TLS_CERT_FILE",
        "TGFLEET_TLS_KEY_FILE",
        "TGFLEET_TLS_CA_FILE",
        # gateway (those of the other services it calls are shared with them)
        "TGFLEET_GATEWAY_LISTEN",
        "TGFLEET_REGISTRY_ENDPOINTS",
        "TGFLEET_SCHEDULER_ENDPOINTS",
        "TGFLEET_REFLECTION",
        "TGFLEET_FLEET_CALL_TIMEOUT",
        "TGFLEET_GATEWAY_TLS_CERT_FILE",
        "TGFLEET_GATEWAY_TLS_KEY_FILE",
        # the tgfleet command (admin)
        "TGFLEET_GATEWAY",
        "TGFLEET_GATEWAY_CA_FILE",
        "TGFLEET_GATEWAY_PLAINTEXT",
        "TGFLEET_TOKEN",
        "TGFLEET_TOKEN_FILE",
        "TGFLEET_DATA",
        # testdc
        "TGFLEET_TESTDC_LISTEN",
        "TGFLEET_TESTDC_MEDIA_PORT",
        "TGFLEET_TESTDC_CONTROL_LISTEN",
        "TGFLEET_TESTDC_RSA_KEY",
        "TGFLEET_TESTDC_STATE",
        "TGFLEET_TESTDC_JOURNAL",
        "TGFLEET_TESTDC_JOURNAL_LIMIT",
        "TGFLEET_TESTDC_READY_FILE",
        "TGFLEET_TESTDC_DC_ID",
        # registry
        "TGFLEET_REGISTRY_LISTEN",
        "TGFLEET_REGISTRY_DATABASE_URL",
        "TGFLEET_ETCD_ENDPOINTS",
        "TGFLEET_ETCD_TLS_CERT_FILE",
        "TGFLEET_ETCD_TLS_KEY_FILE",
        "TGFLEET_ETCD_TLS_CA_FILE",
        "TGFLEET_MASTER_KEY_FILE",
        "TGFLEET_BOOTSTRAP_TOKEN_FILE",
        "TGFLEET_AUDIT_KEEP",
        "TGFLEET_LEASE_TTL",
        "TGFLEET_LEASE_SETTLE",
        # scheduler
        "TGFLEET_SCHEDULER_LISTEN",
        "TGFLEET_SCHEDULER_DATABASE_URL",
        "TGFLEET_LEADER_TTL",
        "TGFLEET_START_RATE",
        "TGFLEET_START_BURST",
        "TGFLEET_TRANSFER_MAX_PER_HOUR",
        "TGFLEET_TRANSFER_REPEAT_WINDOW",
        "TGFLEET_TRANSFER_TAKEOVER_DELAY",
        "TGFLEET_TRANSFER_RELOOK_DELAY",
        "TGFLEET_TRANSFER_IDLE_RELEASE",
        "TGFLEET_TRANSFER_FOLLOW_INTERVAL",
        "TGFLEET_TRANSFER_PREDICTION",
        # worker
        "TGFLEET_WORKER_LISTEN",
        "TGFLEET_WORKER_ID",
        "TGFLEET_WORKER_CAPACITY",
        "TGFLEET_WORKER_SESSIONS_DIR",
        "TGFLEET_CHAT_RULES_FILE",
        "TGFLEET_CHAT_ANSWERS_PER_CHAT",
        "TGFLEET_CHAT_ANSWERS_PER_ACCOUNT",
        "TGFLEET_START_CONCURRENCY",
        "TGFLEET_CONNECT_TIMEOUT",
        "TGFLEET_RECONNECT_RATE",
        "TGFLEET_PING_INTERVAL",
        "TGFLEET_PROBE_INTERVAL",
        "TGFLEET_CRASH_WINDOW",
        "TGFLEET_TELEGRAM_API_ID",
        "TGFLEET_TELEGRAM_API_HASH",
        "TGFLEET_TELEGRAM_DC",
        "TGFLEET_TELEGRAM_RSA_KEY",
        "TGFLEET_TELEGRAM_LIVE",
        # between a supervisor and its children; not for people
        "TGFLEET_LIFELINE_FD",
        "TGFLEET_READY_FD",
    }
)
