"""Frames and sound as they happen: a video file in real time, over and over, or a camera."""

import os
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

from hvc_jax.call.statistics import Latest
from hvc_jax.call.threads import Threads
from hvc_jax.data.clips import fit_picture, open_clip
from hvc_jax.data.errors import ClipError
from hvc_jax.stream.sound import AudioGroup, SoundQueue

CAMERAS = ("/dev/video", "avfoundation:", "dshow:")
_FORMATS = {"/dev/video": "v4l2", "avfoundation:": "avfoundation", "dshow:": "dshow"}


class Taken(NamedTuple):
    """A frame [H, W, 3] uint8 and the time.monotonic() at which it was taken."""

    picture: np.ndarray
    time: float


class LiveSource(Threads):
    """A thread that keeps the newest frame of a file or camera."""

    def __init__(
        self,
        name: str | os.PathLike,
        side: int,
        audio_kbps: float = 0.0,
        heard: Callable[[AudioGroup], None] = lambda group: None,
    ) -> None:
        """Opens a source; `start` starts it.

        `name`: a video file, "/dev/video0", "avfoundation:0" or "dshow:video=NAME"; `side`: of the
        square pictures, pixels; `audio_kbps`: rate of the sound of a file, 0 for none, whose groups
        of Opus packets `heard` is given. Raises ClipError: It cannot be opened.
        """
        self._name, self._side = os.fspath(name), side
        self._kbps, self._heard = audio_kbps, heard
        self.frames: Latest[Taken] = Latest()
        super().__init__(self._take)
        self._camera = self._name.startswith(CAMERAS)
        if self._camera:
            self._container, self.fps = _camera(self._name), Fraction(30)
        else:
            clip, pictures = open_clip(Path(self._name), side)
            pictures.close()
            self.fps = clip.fps

    def _take(self) -> None:
        for picture in self._camera_frames() if self._camera else self._file_frames():
            if self._stop.is_set():
                return
            self.frames.put(Taken(picture, time.monotonic()))

    def _file_frames(self) -> Iterator[np.ndarray]:
        """The frames of the file when they are due, from the start again at its end."""
        due, rounds = time.monotonic(), 0  # rounds: packets of sound in earlier ones
        while not self._stop.is_set():
            clip, frames = open_clip(Path(self._name), self._side, audio_kbps=self._kbps)
            queue, packets = SoundQueue([]), 0
            if clip.sound is not None:
                clip.sound.unit_packets = 1
            for number, picture in enumerate(frames, 1):
                if clip.sound is not None:
                    queue.groups += clip.sound.groups()
                    heard = tuple(data for _, data in queue.until(number / clip.fps))
                    kind = clip.sound.channels, clip.sound.pre_skip
                    self._heard(AudioGroup(rounds + packets, *kind, heard))
                    packets += len(heard)
                self._stop.wait(max(due - time.monotonic(), 0))
                due = max(due + float(1 / clip.fps), time.monotonic() - 1.0)
                yield picture
            rounds += packets

    def _camera_frames(self) -> Iterator[np.ndarray]:
        with self._container as container:
            for frame in container.decode(video=0):
                yield fit_picture(frame.to_ndarray(format="rgb24"), self._side, self._side)


def _camera(name: str) -> Any:
    kind = next(kind for kind in CAMERAS if name.startswith(kind))
    device = name if kind == "/dev/video" else name.removeprefix(kind)
    try:
        return av.open(device, format=_FORMATS[kind])
    except (OSError, ValueError, av.FFmpegError) as error:
        raise ClipError(f"{name}: no camera that can be opened; name a video file") from error
