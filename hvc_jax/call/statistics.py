"""What a call measures over its last seconds, in bounded memory. Imports no jax."""

import threading
import time
from collections import deque
from typing import Generic, TypeVar

import numpy as np

SECONDS = 5.0
_MOST = 2000

Item = TypeVar("Item")


class Window:
    """Amounts of the last `SECONDS`."""

    def __init__(self, since: float | None = None) -> None:
        """Begins now, or at another time of the clock that is used."""
        self._items: deque[tuple[float, float]] = deque(maxlen=_MOST)
        self._lock = threading.Lock()
        self._since = time.monotonic() if since is None else since

    def add(self, amount: float, now: float | None = None) -> None:
        """Notes an amount."""
        with self._lock:
            self._items.append((time.monotonic() if now is None else now, amount))

    def amounts(self, now: float | None = None) -> np.ndarray:
        """[n] float64 amounts of the last seconds."""
        now = time.monotonic() if now is None else now
        with self._lock:
            while self._items and self._items[0][0] < now - SECONDS:
                self._items.popleft()
            return np.array([amount for _, amount in self._items])

    def rate(self, now: float | None = None) -> float:
        """Sum of the amounts a second."""
        now = time.monotonic() if now is None else now
        return float(self.amounts(now).sum()) / min(max(now - self._since, 0.1), SECONDS)

    def median(self) -> float:
        """Median of the amounts; 0 where there are none."""
        amounts = self.amounts()
        return float(np.median(amounts)) if len(amounts) else 0.0

    def late(self) -> float:
        """95th percentile of the amounts; 0 where there are none."""
        amounts = self.amounts()
        return float(np.percentile(amounts, 95)) if len(amounts) else 0.0


class Latest(Generic[Item]):
    """A place for one item: a newer one replaces one that nobody has taken."""

    def __init__(self) -> None:
        self._item: Item | None = None
        self._wake = threading.Condition()

    def put(self, item: Item) -> None:
        """Puts an item there."""
        with self._wake:
            self._item = item
            self._wake.notify()

    def take(self, seconds: float) -> Item | None:
        """Takes the item; None where none comes in time."""
        with self._wake:
            if self._item is None:
                self._wake.wait(seconds)
            item, self._item = self._item, None
            return item
