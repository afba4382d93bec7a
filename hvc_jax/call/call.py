"""A call on this machine: a sender and a receiver that know each other by a UDP socket only."""

import os
import secrets
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hvc_jax.body.params import BODY_VECTOR_SIZE
from hvc_jax.call.link import Link
from hvc_jax.call.receiver import Receiver
from hvc_jax.call.sender import Sender
from hvc_jax.call.source import LiveSource
from hvc_jax.codec.codec import Codec
from hvc_jax.pose.estimator import compile_for_live


class Figures(NamedTuple):
    """What a call measures; rates and times are of the last five seconds."""

    seconds: float  # Since its start
    sent: int  # Frames that were sent
    received: int  # Motion packets that came
    lost: int  # Motion packets that did not
    drawn: int  # Frames that were drawn
    frames_per_second: float  # Drawn a second
    picture_kbps: float  # Rate of key pictures and motion, heads of IP and UDP included
    sound_kbps: float  # Rate of sound, the same way
    key_bytes: int  # Of the last key picture
    # Median from taking a frame to having its picture ("glass to glass", without the camera's and
    # the screen's own times)
    latency_ms: float
    late_ms: float  # 95th percentile of that
    analysis_ms: float  # Median of finding the body and coding
    drawing_ms: float  # Median of drawing
    sound_packets: int  # Decoded so far
    foreign: int  # Packets that were not of this call, or damaged


class Call:
    """Both ends of a call. `sender`: one end; `receiver`: the other."""

    def __init__(
        self,
        codec: Codec,
        source: str | os.PathLike,
        side: int = 256,
        *,
        qp: int = 32,
        avatar: np.ndarray | None = None,
        receiver_avatar: np.ndarray | None = None,
        record: Path | None = None,
        audio_kbps: float = 8.0,
        seed: int = 0,
    ) -> None:
        """Opens the source and the sockets; `start` starts the call.

        `source`: a video file or a camera, see `LiveSource`; `side`: of the square pictures,
        pixels; `qp`: of key pictures; `avatar`: see `Sender`; `receiver_avatar`, `record`: see
        `Receiver`; `audio_kbps`: rate of the sound of a file, 0 for none; `seed`: of what is lost
        on the way. Raises ClipError: The source cannot be opened.
        """
        self._codec, self._side = codec, side
        session = secrets.randbits(32)
        self._out, self._in = Link(seed=seed), Link(seed=seed + 1)
        self._source = LiveSource(source, side, audio_kbps, lambda g: self.sender.hear(g))
        self.sender = Sender(
            codec, self._source, self._out, self._in.address, session, qp=qp, avatar=avatar
        )
        self.receiver = Receiver(
            codec, self._in, self._out.address, session, receiver_avatar, record
        )
        self._started = time.monotonic()

    def start(self) -> None:
        """Compiles what is needed, then starts all threads."""
        _compile(self._codec, self._side)
        self._started = time.monotonic()
        for part in (self.receiver, self.sender, self._source):
            part.start()

    def stop(self) -> None:
        """Ends all threads and closes the sockets."""
        for part in (self._source, self.sender, self.receiver):
            part.stop()
        self._out.close()
        self._in.close()

    def network(self, loss: float, jitter: float) -> None:
        """Sets the share of packets that are lost either way and the most seconds of delay."""
        for link in (self._out, self._in):
            link.loss, link.jitter = loss, jitter

    @property
    def network_now(self) -> tuple[float, float]:
        """Loss and jitter as set by `network`."""
        return self._out.loss, self._out.jitter

    def check(self) -> None:
        """Raises what ended a thread, if one has ended."""
        for part in (self._source, self.sender, self.receiver):
            if part.error is not None:
                raise part.error

    def figures(self) -> Figures:
        """What was measured so far."""
        sender, receiver = self.sender, self.receiver
        received, lost = receiver.counts
        pictures, sound = sender.kbps
        return Figures(
            seconds=round(time.monotonic() - self._started, 1),
            sent=sender.frames,
            received=received,
            lost=lost,
            drawn=receiver.frames,
            frames_per_second=receiver.drawn.rate(),
            picture_kbps=pictures,
            sound_kbps=sound,
            key_bytes=sender.key_bytes,
            latency_ms=1e3 * receiver.latency.median(),
            late_ms=1e3 * receiver.latency.late(),
            analysis_ms=1e3 * sender.analysis.median(),
            drawing_ms=1e3 * receiver.drawing.median(),
            sound_packets=receiver.hearing.packets,
            foreign=receiver.foreign,
        )


def _compile(codec: Codec, side: int) -> None:
    """Compiles analysis and drawing, which would hold up the first frames."""
    grey = np.full((side, side, 3), 128, np.uint8)
    if codec.variant == "semantic":
        compile_for_live(side)
    latent = codec.networks.analyse_key(grey, np.zeros(BODY_VECTOR_SIZE))
    codec.networks.analyse_one(grey, grey, np.zeros(BODY_VECTOR_SIZE))
    key = codec.networks.key_frame(grey, latent)
    codec.networks.draw_one(key, latent + np.float32(1e-3))
