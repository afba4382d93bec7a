"""Text of files and names that nobody here made, safe to print on a terminal."""


def printable(text: str) -> str:
    """Returns `text` with everything that is not printed, but for spaces, written as escapes.

    Control characters could move the cursor or rename the window; halves of surrogate pairs
    cannot be encoded.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
