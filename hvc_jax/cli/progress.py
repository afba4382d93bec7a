"""Progress of frames: a bar on a terminal, else a line every ten seconds, with the time to go."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

_LINE_SECONDS = 10.0
_WARM_UP = 8

Item = TypeVar("Item")


def progress(
    items: Iterable[Item], total: int | None = None, quiet: bool = False, what: str = "frames"
) -> Iterator[Item]:
    """Yields the items and shows on the standard error how many came.

    Args:
        items: What is counted.
        total: How many there will be, None where that is not known.
        quiet: Show nothing.
        what: What they are, in the plural.
    """
    if quiet:
        yield from items
    elif sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, unit=f" {what}")
    else:
        yield from _lines(items, total, what)


def _lines(items: Iterable[Item], total: int | None, what: str) -> Iterator[Item]:
    said = time.monotonic()
    begun, before = said, 0  # the first ones stand for loading and compiling
    for count, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if count <= _WARM_UP:
            begun, before = now, count
        elif now - said >= _LINE_SECONDS:
            said, rate = now, (count - before) / max(now - begun, 1e-9)
            if total and count <= total:
                rest = f" of {total} {what}, {(total - count) / rate:.0f} s to go"
            else:
                rest = f" {what}"
            print(f"{count}{rest} ({rate:.3g}/s)", file=sys.stderr, flush=True)
