"""The sound of a clip as Opus, made while its pictures are read from the same file or pipe.

    packets as they pass by ─► PCM ─► 48 kHz, 1 or 2 channels ─► placed by their times ─► Opus

Sound begins with the first frame of the clip and ends with its last: what is missing before or
between is silence, what is too much is cut. No gap is wider than `_TOLERANCE`, however long a clip.
"""

import math
from collections import deque
from fractions import Fraction
from typing import Any

import av
import numpy as np

from hvc_jax.data.timing import LONGEST_PAUSE
from hvc_jax.stream.sound import PACKET_SAMPLES, SAMPLE_RATE, UNIT_PACKETS, AudioGroup

MIN_KBPS, MAX_KBPS = 6, 256
_STEREO_KBPS = 32  # below it both channels are one: speech gains nothing from the second
_TOLERANCE = SAMPLE_RATE // 100  # samples by which times may stray before sound is moved


class OpusEncoder:
    """Samples to packets of 20 ms, which run ahead of the samples by `pre_skip` of them."""

    def __init__(self, kbps: float, channels: int) -> None:
        self.channels = channels
        context: Any = av.CodecContext.create("libopus", "w")
        context.sample_rate, context.layout = SAMPLE_RATE, "mono" if channels == 1 else "stereo"
        context.format, context.bit_rate = "flt", round(1000 * kbps)
        voice = kbps < _STEREO_KBPS
        context.options = {"frame_duration": "20", "application": "voip" if voice else "audio"}
        context.open()
        self.pre_skip = int.from_bytes(context.extradata[10:12], "little")  # RFC 7845, 5.1
        self._context, self._waiting, self._given = context, np.zeros(0, np.float32), 0

    def push(self, samples: np.ndarray) -> list[bytes]:
        """Packets that are complete after samples [n, channels] float32 in [-1, 1]."""
        flat = np.concatenate([self._waiting, np.float32(samples).reshape(-1)])
        size = PACKET_SAMPLES * self.channels
        whole = len(flat) // size * size
        self._waiting, packets = flat[whole:], []
        for block in flat[:whole].reshape(-1, 1, size):
            frame = av.AudioFrame.from_ndarray(block, "flt", self._context.layout.name)
            frame.sample_rate, frame.pts = SAMPLE_RATE, self._given
            self._given += PACKET_SAMPLES
            packets += [bytes(packet) for packet in self._context.encode(frame)]
        return packets

    def close(self) -> list[bytes]:
        """The rest, with silence behind it until all samples have come out."""
        silence = np.zeros((self.pre_skip + PACKET_SAMPLES, self.channels), np.float32)
        rest = self.push(silence)
        return rest + [bytes(packet) for packet in self._context.encode(None)]


class ClipSound:
    """The sound track that goes with the frames of a clip, a `stream.sound.SoundSource`.

    Attributes:
      stream: The `av.AudioStream` whose packets are to be pushed.
      skip: Seconds of the clip that are left out at its beginning.
      written: See `SoundSource`.
    """

    def __init__(self, stream: Any, kbps: float) -> None:
        """Prepares to encode a container's stream, at MIN_KBPS to MAX_KBPS kilobits a second."""
        channels = 2 if kbps >= _STEREO_KBPS and stream.codec_context.channels > 1 else 1
        self.stream, self.skip, self.written = stream, Fraction(0), 0
        self.unit_packets = UNIT_PACKETS
        self._encoder = OpusEncoder(kbps, channels)
        self._resampler, self._input = None, None
        self._zero: float | None = None
        self._early: list[Any] = []  # packets that came before the first picture
        self._next: float | None = None  # seconds at which the next sample should come
        self._placed = 0  # samples that were handed to the encoder
        self._packets: deque[bytes] = deque()
        self._first, self._announced, self._closed = 0, False, False

    @property
    def channels(self) -> int:
        """1 or 2."""
        return self._encoder.channels

    @property
    def pre_skip(self) -> int:
        """See `OpusEncoder`."""
        return self._encoder.pre_skip

    def begin(self, seconds: float) -> None:
        """Sets the time of the file's first picture; sound is placed from it on."""
        if self._zero is None:
            self._zero, self._next = seconds + float(self.skip), seconds
            for packet in self._early:
                self.push(packet)
            self._early.clear()

    def push(self, packet: Any) -> None:
        """Takes a packet of the track; a damaged one is silence."""
        if self._zero is None:
            self._early.append(packet)
            return
        try:
            frames = packet.decode()
        except av.FFmpegError:
            return
        for frame in frames:
            if frame.time is not None:
                self._take(frame)

    def reached(self, seconds: float) -> bool:
        """Whether all sound before `seconds` of the clip was pushed."""
        return self._placed >= seconds * SAMPLE_RATE

    def groups(self, seconds: Fraction | None = None) -> list[AudioGroup]:
        """See `SoundSource`."""
        if seconds is not None and not self._closed:
            self._finish(seconds)
        made = []
        while not self._announced or len(self._packets) >= self.unit_packets or self._ends():
            count = min(len(self._packets), self.unit_packets)
            packets = tuple(self._packets.popleft() for _ in range(count))
            made.append(AudioGroup(self._first, self.channels, self.pre_skip, packets))
            self._first += count
            self._announced = True
        return made

    def _ends(self) -> bool:
        return self._closed and bool(self._packets)

    def _finish(self, seconds: Fraction) -> None:
        """Encodes the rest of a clip of `seconds`."""
        self._closed = True
        last = min(math.ceil(seconds * SAMPLE_RATE), self._placed)
        self._packets += self._encoder.close()
        wanted = math.ceil((last + self.pre_skip) / PACKET_SAMPLES) if last else 0
        while self._packets and self._first + len(self._packets) > wanted:
            self._packets.pop()

    def _take(self, frame: Any) -> None:
        """Places decoded samples by their time."""
        kind = frame.format.name, frame.layout.name, frame.sample_rate
        if self._resampler is None or kind != self._input:
            layout = "mono" if self.channels == 1 else "stereo"
            self._resampler, self._input = av.AudioResampler("flt", layout, SAMPLE_RATE), kind
        time = frame.time
        if self._next is not None and abs(time - self._next) > LONGEST_PAUSE:
            self._zero += time - self._next  # another clock: goes on without a pause
        self._next = time + frame.samples / frame.sample_rate
        for made in self._resampler.resample(frame):
            self._place(made)

    def _place(self, frame: Any) -> None:
        samples = frame.to_ndarray().reshape(-1, self.channels)
        place = round((frame.time - self._zero) * SAMPLE_RATE)
        gap = place - self._placed
        if gap > _TOLERANCE or (gap > 0 and not self._placed):
            for start in range(0, gap, SAMPLE_RATE):
                self._encode(np.zeros((min(SAMPLE_RATE, gap - start), samples.shape[1])))
        elif gap < -_TOLERANCE or (gap < 0 and not self._placed):
            samples = samples[-gap:]
        self._encode(samples)

    def _encode(self, samples: np.ndarray) -> None:
        self._placed += len(samples)
        self._packets += self._encoder.push(samples)


def sound_of(container: Any, kbps: float) -> ClipSound | None:
    """The sound of the track of a container that a player takes; None: none, or 0 kbps."""
    tracks = [track for track in container.streams.audio if track.codec_context is not None]
    if not kbps or not tracks:
        return None
    best = container.streams.best("audio")
    return ClipSound(best if best in tracks else tracks[0], kbps)
