"""Motion packets in order, whatever the network did to them. Imports no jax."""

import numpy as np

from hvc_jax.call.packets import Motion
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.vectors import VectorDecoder

MOST_WAITING = 32
"""Packets that are kept for one that is late."""

PATIENCE = 0.06
"""Seconds that they are kept: one and a half frames of 25 a second."""

_WINDOW = 100  # packets over which loss is told


class Arrivals:
    """Decodes the motion of one key picture.

    A packet that is missing is waited for a little; then it is lost, and with it all that follow up
    to one that decodes on its own, which `broken` asks for.
    """

    def __init__(self, decoder: VectorDecoder) -> None:
        self._decoder, self._next = decoder, None
        self._waiting: dict[int, tuple[float, Motion]] = {}
        self._last: list[bool] = []
        self.received = self.lost = 0  # packets in time, and frames whose packets did not come
        self.broken = False  # whether motion is wanted that decodes on its own

    def push(self, motion: Motion, now: float) -> list[tuple[Motion, np.ndarray]]:
        """Takes a packet; returns the frames that can be shown, with their latents [size]."""
        frame = motion.group.frame
        if self._next is None:
            self._next = frame
        if frame >= self._next and frame not in self._waiting:
            if len(self._waiting) >= MOST_WAITING:
                self._waiting.clear()
                self._skip_to(frame)
            self._waiting[frame] = now, motion
        return self.poll(now)

    def poll(self, now: float) -> list[tuple[Motion, np.ndarray]]:
        """Returns the frames that can be shown by now."""
        made = []
        while self._waiting:
            first = min(self._waiting)
            if first != self._next:
                oldest = min(came for came, _ in self._waiting.values())
                if now - oldest < PATIENCE:
                    break
                self._skip_to(first)
            _, motion = self._waiting.pop(first)
            self._next = first + 1
            self.received += 1
            self._count(True)
            try:
                latent = self._decoder.motion(motion.group)[0]
            except BitstreamError:
                self.broken = True
                continue
            self.broken = False
            made.append((motion, latent))
        return made

    @property
    def loss(self) -> float:
        """Share of the last packets that were lost."""
        return 1 - sum(self._last) / len(self._last) if self._last else 0.0

    def _skip_to(self, frame: int) -> None:
        missing = frame - (self._next or 0)
        self.lost += missing
        for _ in range(min(missing, _WINDOW)):
            self._count(False)
        self._next, self.broken = frame, True

    def _count(self, came: bool) -> None:
        self._last.append(came)
        del self._last[:-_WINDOW]
