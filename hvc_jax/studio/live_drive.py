"""A person before a camera, or in a video in real time, who drives the one in a stream."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hvc_jax.body.params import BODY_VECTOR_SIZE
from hvc_jax.call.source import LiveSource
from hvc_jax.codec.scenes import BodyFinder
from hvc_jax.ops.files import atomic_path

SECONDS_AT_MOST = 60.0


class LiveDrive:
    """Finds the body in the newest frame, over and over, and keeps what was found."""

    def __init__(self, source: LiveSource, found: Callable[[], None]) -> None:
        """Starts on a source of square frames; `found` is called after every body."""
        self._source, self._found = source, found
        self._find, self._stop = BodyFinder(0), threading.Event()
        self.bodies: list[np.ndarray] = []  # [188] each
        self.times: list[float] = []  # seconds at which they were taken, since the first
        self.error: Exception | None = None  # what ended it, if anything did
        source.start()
        self._thread = threading.Thread(target=self._run, name="hvc studio camera", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends it; what was found stays."""
        self._stop.set()
        self._source.stop()
        self._thread.join(10)

    def save(self, path: Path, fps: float) -> int:
        """Writes bodies at a constant rate, [T, 188] float32 .npy; returns T; ValueError: T < 2."""
        if len(self.bodies) < 2:
            raise ValueError("fewer than two frames came; let the camera run longer")
        bodies = resampled(np.stack(self.bodies), np.array(self.times), fps)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, bodies)
        return len(bodies)

    def _run(self) -> None:
        begin: float | None = None
        try:
            while not self._stop.is_set():
                taken = self._source.frames.take(0.05)
                if self._source.error is not None:
                    raise self._source.error
                if taken is None:
                    continue
                begin = taken.time if begin is None else begin
                if taken.time - begin > SECONDS_AT_MOST:
                    return
                self.bodies.append(self._find(taken.picture[None])[0][0])
                self.times.append(taken.time - begin)
                self._found()
        except Exception as error:  # told by the page
            self.error = error
            self._found()


def resampled(bodies: np.ndarray, times: np.ndarray, fps: float) -> np.ndarray:
    """Returns [T, 188] float32 bodies at `fps`, in between those [n, 188] of rising `times` [n]."""
    at = np.arange(int(times[-1] * fps) + 1) / fps
    columns = [np.interp(at, times, bodies[:, k]) for k in range(BODY_VECTOR_SIZE)]
    return np.stack(columns, axis=1).astype(np.float32)
