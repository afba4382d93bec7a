"""A clip with tones at known times, and the times at which they are heard in a file."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

FPS, SIDE, SECONDS = Fraction(25), 64, 4
TONES = (0.48, 1.7, 3.1)


def make_clip(path: Path, begins: float = 0.0, codec: str = "aac", fps: Fraction = FPS) -> None:
    """A black clip with tones of 30 ms at TONES; its sound track starts `begins` seconds late."""
    rate = 48000 if codec == "libopus" else 44100
    time = np.arange(int((SECONDS - begins) * rate)) / rate + begins
    sound = sum(np.sin(6000 * time) * (abs(time - tone) < 0.015) for tone in TONES) * 0.7
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast"})
        video.width = video.height = SIDE
        audio = container.add_stream(codec, rate=rate, layout="stereo")
        done = 0
        for number in range(int(SECONDS * fps)):
            black = av.VideoFrame.from_ndarray(np.zeros((SIDE, SIDE, 3), np.uint8), "rgb24")
            container.mux(video.encode(black))
            while done < len(sound) and begins + done / rate < (number + 1) / fps:
                block = np.float32([sound[done : done + 1024]] * 2)
                frame = av.AudioFrame.from_ndarray(block, "fltp", "stereo")
                frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
                frame.pts = round(begins * rate) + done
                container.mux(audio.encode(frame))
                done += 1024
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


def heard(path: Path) -> list[float]:
    """Times of the tones in a file, in seconds since its first picture."""
    with av.open(str(path)) as container:
        start = next(container.decode(video=0)).time
    loud, times, mono = [], [], av.AudioResampler("flt", "mono")
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            for made in mono.resample(frame):
                loud.append(np.abs(made.to_ndarray()[0]))
                times.append(made.time - start + np.arange(made.samples) / made.sample_rate)
    at = np.concatenate(times)[np.concatenate(loud) > 0.2]
    parts = np.split(at, np.flatnonzero(np.diff(at) > 0.2) + 1)
    return [float(part.mean()) for part in parts if len(part)]
