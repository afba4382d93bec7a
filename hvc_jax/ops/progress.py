"""Progress: a bar on a terminal, else a line every ten seconds, with the time to go."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

_LINE_SECONDS = 10.0
_WARM_UP = 8

Item = TypeVar("Item")


class Progress:
    """Counts on the standard error; a context manager.

    Args:
        total: How many there will be, None where that is not known.
        what: What they are, in the plural.
        quiet: Show nothing.
        warm_up: The first ones, which stand for loading and compiling and say nothing of the rate.
    """

    def __init__(
        self, total: int | None, what: str, quiet: bool = False, warm_up: int = _WARM_UP
    ) -> None:
        self._total, self._what, self._warm_up = total, what, warm_up
        self._bar: Any = None
        self._lines = not quiet
        if not quiet and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar, self._lines = tqdm(total=total, unit=f" {what}"), False
        self._said = self._begun = time.monotonic()
        self._count = self._before = 0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def describe(self, text: str) -> None:
        """Says beside a bar what is being done."""
        if self._bar is not None:
            self._bar.set_description(text)

    def update(self, count: int = 1) -> None:
        """Counts `count` more."""
        self._count += count
        if self._bar is not None:
            self._bar.update(count)
        if not self._lines:
            return
        now = time.monotonic()
        if self._count <= self._warm_up:
            self._begun, self._before = now, self._count
        elif now - self._said >= _LINE_SECONDS:
            self._said = now
            rate = (self._count - self._before) / max(now - self._begun, 1e-9)
            rest = f" {self._what}"
            if self._total and self._count <= self._total:
                left = (self._total - self._count) / rate
                rest = f" of {self._total} {self._what}, {left:.0f} s to go"
            print(f"{self._count}{rest} ({rate:.3g}/s)", file=sys.stderr, flush=True)


def progress(
    items: Iterable[Item], total: int | None = None, quiet: bool = False, what: str = "frames"
) -> Iterator[Item]:
    """Yields the items and shows how many came; arguments as of `Progress`."""
    with Progress(total, what, quiet) as shown:
        for item in items:
            yield item
            shown.update()
