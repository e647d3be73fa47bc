"""The figures that transfers go by. Knows no setting and no clock; `settings.py` fills it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TransferRules:
    """Seconds unless said otherwise; defaults as in DESIGN section 6 and issue 4."""

    batch_size: int = 100  # ids in one call, Telegram's limit
    read_ahead: int = 3  # pages that are read before they are needed
    page_size: int = 100
    repeat_window: float = 600.0  # in which a repeat with the same random_ids is believed to be deduplicated
    takeover_delay: float = 60.0  # from the abort until another account looks
    relook_delay: float = 30.0  # between its two looks
    max_per_hour: int = 5000  # messages into one target, over all transfers; 0 for no limit
    follow_interval: float = 10.0
    follow_min_age: float = 2.0
    idle_release: float = 600.0  # after which a borrowed account is given back
    turn: int = 5  # batches after which an account is given to a shard that waits for one
    hello_wait: float = 40.0  # in which a new leader awaits the workers that have answers
    send_limit: float = 30.0
    read_limit: float = 30.0
    answer_grace: float = 30.0  # beyond an order's limit, until it is called lost on a stream that is up
    look_limit: int = 3000  # messages of the target that a look reads at most
    prediction: bool = True
