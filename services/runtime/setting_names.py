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
        # between a supervisor and its children; not for people
        "TGFLEET_LIFELINE_FD",
        "TGFLEET_READY_FD",
    }
)
