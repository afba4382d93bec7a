"""The error of everything that reads or writes clips."""


class ClipError(ValueError):
    """A clip cannot be read or written; the message is one sentence with the file and the fix."""
