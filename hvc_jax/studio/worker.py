"""One thread that does what a page was asked to, newest request of a kind first to last."""

import threading
import time
from collections.abc import Callable


class Worker:
    """Runs jobs one after the other; a job that waits is replaced by a newer one of its name.

    A slider that is dragged asks faster than frames are drawn: only its last value is drawn.
    """

    def __init__(self, idle: Callable[[], float | None], failed: Callable[[Exception], None]):
        """Starts the thread.

        Args:
          idle: Called when no job waits: draws what has to be drawn, and returns the seconds until
            it wants to be called again, None for never.
          failed: Is told what a job or `idle` raised.
        """
        self._idle, self._failed = idle, failed
        self._jobs: dict[str, Callable[[], None]] = {}
        self._wake = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="hvc studio", daemon=True)
        self._thread.start()

    def ask(self, name: str, job: Callable[[], None]) -> None:
        """Lets `job` be done, in the place of one with this name that still waits."""
        with self._wake:
            self._jobs[name] = job
            self._wake.notify()

    def stop(self) -> None:
        """Ends the thread when the job that runs is done."""
        with self._wake:
            self._stopped = True
            self._jobs.clear()
            self._wake.notify()

    @property
    def stopped(self) -> bool:
        """Whether it was told to end."""
        return self._stopped

    def join(self, seconds: float) -> bool:
        """Waits so long for the thread to end; returns whether it has."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        wait: float | None = 0.0
        while True:
            with self._wake:
                if not self._jobs and not self._stopped and wait != 0:
                    self._wake.wait(wait)
                if self._stopped:
                    return
                jobs, self._jobs = list(self._jobs.values()), {}
            try:
                for job in jobs:
                    job()
                wait = self._idle()
            except Exception as error:  # whatever it is, the page has to live on and tell it
                self._failed(error)
                wait = None


class Clock:
    """Which frame is shown while a clip plays."""

    def __init__(self, fps: float, count: int) -> None:
        self._fps, self._count = fps, count
        self.playing, self.loop, self.speed = False, True, 1.0
        self._frame, self._since = 0.0, time.monotonic()

    @property
    def frame(self) -> int:
        """The frame that is due."""
        return min(int(self._position()), self._count - 1)

    def _position(self) -> float:
        if not self.playing:
            return self._frame
        position = self._frame + (time.monotonic() - self._since) * self._fps * self.speed
        if self.loop:
            return position % self._count
        return min(position, self._count - 1)

    def seek(self, frame: int) -> None:
        """Goes to a frame."""
        self._frame, self._since = float(min(max(frame, 0), self._count - 1)), time.monotonic()

    def set(self, *, playing: bool | None = None, speed: float | None = None) -> None:
        """Starts, stops or changes the speed, from the frame where it is."""
        self.seek(self.frame)
        self.playing = self.playing if playing is None else playing
        self.speed = self.speed if speed is None else speed

    def until_next(self) -> float | None:
        """Seconds until another frame is due; None where none will be."""
        if not self.playing:
            return None
        if not self.loop and self.frame >= self._count - 1:
            self.set(playing=False)
            return None
        left = 1 - self._position() % 1
        return max(left / (self._fps * self.speed), 0.001)
