"""What the domain says when a value is wrong. Knows nothing of gRPC: handlers turn it into the caller's
error."""


class BadValueError(ValueError):
    """A value that no request may hold. `field` is relative to the thing that was checked (`name`, `labels`).

    `sentence` is for a person and never repeats a secret; `reason` is for a program.
    """

    def __init__(self, field: str, sentence: str, reason: str = "INVALID_ARGUMENT") -> None:
        super().__init__(sentence)
        self.field = field
        self.sentence = sentence
        self.reason = reason


class NotASessionError(ValueError):
    """Bytes or text that hold no usable Telegram session; the text is a sentence for a person."""
