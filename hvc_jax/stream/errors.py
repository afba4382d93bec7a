"""What a damaged or foreign stream raises."""


class BitstreamError(ValueError):
    """A stream cannot be read.

    Attributes:
      offset: byte position in the stream where the fault was noticed, or None when unknown.
      reason: one plain sentence.
    """

    def __init__(self, reason: str, offset: int | None = None) -> None:
        self.offset = offset
        self.reason = reason
        where = "" if offset is None else f" at byte {offset}"
        super().__init__(f"bad stream{where}: {reason}")
