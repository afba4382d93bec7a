"""Times of the studio: control to frame, and an edit from parameters to bytes.

    python experiments/bench_studio/measure.py clip.hvc --changes 60

Control to frame is what the page's thread does between a moved slider and the picture that it
hands to the web server: the edit, the frame, JPEG. CPU time says what that takes of a machine that
does other things as well. The mesh, the web server and the browser are
not in it; the page itself shows the same number for what happens there.
"""

import argparse
import io
import os
import time
from pathlib import Path

import numpy as np
from PIL import Image

from hvc_jax.ops.compile import keep_compiled_programs
from hvc_jax.studio.player import open_player
from hvc_jax.studio.session import Session
from hvc_jax.studio.web import enlarged


def now() -> np.ndarray:
    """Seconds of the clock and of this process on all cores."""
    return np.array([time.perf_counter(), time.process_time()])


def jpeg(picture: np.ndarray) -> bytes:
    """The picture as the page sends it."""
    memory = io.BytesIO()
    Image.fromarray(enlarged(picture)).save(memory, "JPEG", quality=92)
    return memory.getvalue()


def main() -> None:
    """Prints medians and 95th percentiles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stream", type=Path)
    parser.add_argument("--changes", type=int, default=60)
    arguments = parser.parse_args()
    keep_compiled_programs()
    session = Session(open_player(arguments.stream), arguments.stream)
    count, header = session.opened.player.frame_count, session.tracks.header
    session.offset("head_y", 1)
    session.frame(1)  # compiles
    frame_times, frame_cpu, edit_times, edit_cpu = [], [], [], []
    for change in range(arguments.changes):
        started = now()
        session.offset("head_y", 2 + 40 * change / arguments.changes)
        jpeg(session.frame(change % count).picture)
        for times, spent in zip((frame_times, frame_cpu), now() - started, strict=True):
            times.append(1e3 * spent)
        started = now()
        session.stream()
        for times, spent in zip((edit_times, edit_cpu), now() - started, strict=True):
            times.append(1e3 * spent / count)
    load = os.getloadavg()[0]
    print(
        f"{header.variant} {header.width}x{header.height}, {count} frames; load average {load:.1f}"
    )
    rows = {
        "control to frame": frame_times,
        "control to frame, CPU time of all cores": frame_cpu,
        "edit to bytes, a frame": edit_times,
        "edit to bytes, a frame, CPU time": edit_cpu,
    }
    for name, times in rows.items():
        least, median, late = np.percentile(times, (0, 50, 95))
        print(f"{name}: {median:.2f} ms median, {late:.2f} p95, {least:.2f} least")


if __name__ == "__main__":
    main()
