"""Jobs in threads of their own that end together. Imports no jax."""

import threading
from collections.abc import Callable

_PATIENCE = 10.0  # seconds that a thread has to end


class Threads:
    """Runs jobs from `start` to `stop`, when `_stop` is set; `error` is what ended one, if any."""

    def __init__(self, *jobs: Callable[[], None]) -> None:
        self.error: Exception | None = None
        self._stop = threading.Event()
        name = f"hvc {type(self).__name__}"
        self._threads = [
            threading.Thread(target=self._run, args=(job,), name=name, daemon=True) for job in jobs
        ]

    def start(self) -> None:
        """Starts the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends the threads."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_PATIENCE)

    def _run(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:  # told by whoever looks at it
            self.error = error
