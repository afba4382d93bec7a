"""Progress: a bar on a terminal, else a line every ten seconds, with the time to go."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, TypeVar

_LINE_SECONDS = 10.0
_WARM_UP = 8

Item = TypeVar("Item")


class Progress:
    """Counts on the standard error; a context manager.

    Lines come from a thread, so that they come while the first items are long in the making.

    Args:
      total: How many there will be, None where that is not known.
      what: What they are, in the plural.
      quiet: Show nothing.
      warm_up: The first ones, which stand for loading and compiling and say nothing of the rate.
      tell: Is given the line every second, in the place of the standard error.
    """

    def __init__(
        self,
        total: int | None,
        what: str,
        quiet: bool = False,
        warm_up: int = _WARM_UP,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self._total, self._what, self._warm_up = total, what, warm_up
        self._quiet, self._bar, self._tell = quiet, None, tell
        self._started = self._begun = time.monotonic()
        self._count = self._before = 0
        self._ended = threading.Event()

    def __enter__(self) -> "Progress":
        if not self._quiet:
            if sys.stderr.isatty() and self._tell is None:
                from tqdm import tqdm

                self._bar = tqdm(total=self._total, unit=f" {self._what}")
            threading.Thread(target=self._show, args=(sys.stderr,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._bar is not None:
            self._bar.close()

    def describe(self, text: str) -> None:
        """Says beside a bar what is being done."""
        if self._bar is not None:
            self._bar.set_description(text)

    def update(self, count: int = 1) -> None:
        """Counts `count` more."""
        if self._count < self._warm_up:
            self._begun, self._before = time.monotonic(), self._count + count
        self._count += count
        if self._bar is not None:
            self._bar.update(count)

    def _show(self, file: Any) -> None:
        """Shows how far it is until the end."""
        lines = self._bar is None and self._tell is None
        while not self._ended.wait(_LINE_SECONDS if lines else 1.0):
            if self._tell is not None:
                self._tell(self.line())
            elif self._bar is None:
                print(self.line(), file=file, flush=True)
            else:
                self._bar.refresh()  # its clock goes on

    def line(self) -> str:
        """How far it is, in a line."""
        now, count = time.monotonic(), self._count
        counted, seconds = count - self._before, now - self._begun
        of = f" of {self._total}" if self._total and count <= self._total else ""
        text = f"{count}{of} {self._what}"
        if counted < 1 or seconds <= 0:
            return f"{text}, {now - self._started:.0f} s so far"
        rate = counted / seconds
        left = f", {(self._total - count) / rate:.0f} s to go" if of and self._total else ""
        return f"{text}{left} ({rate:.3g}/s)"


def progress(
    items: Iterable[Item], total: int | None = None, quiet: bool = False
) -> Iterator[Item]:
    """Yields frames and shows how many came; arguments as of `Progress`."""
    with Progress(total, "frames", quiet) as shown:
        for item in items:
            yield item
            shown.update()


class CountedFile:
    """A file to write to that counts its bytes, hands them on at once, and shows progress.

    What is written, but for the header, is of the frames that were taken until then: a codec codes
    many together.
    `size`: Bytes that were written.
    """

    def __init__(self, file: BinaryIO, shown: Progress) -> None:
        self._file, self._shown = file, shown
        self._taken = 0
        self.size = 0

    def counted(self, frames: Iterable[Item]) -> Iterator[Item]:
        """Yields the frames."""
        for frame in frames:
            self._taken += 1
            yield frame

    def write(self, data: bytes) -> int:
        """Writes, and counts the frames."""
        if self.size:
            self._shown.update(self._taken)
            self._taken = 0
        self.size += len(data)
        self._file.write(data)
        self._file.flush()
        return len(data)
