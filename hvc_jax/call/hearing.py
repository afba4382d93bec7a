"""The sound of a call at the receiver: packets in order, decoded, measured and recorded."""

import wave
from pathlib import Path

import av
import numpy as np

from hvc_jax.call.arrivals import PATIENCE
from hvc_jax.stream.sound import PACKET_SAMPLES, SAMPLE_RATE, AudioGroup

_MOST_WAITING = 256
_MOST_SILENCE = 10 * SAMPLE_RATE  # samples that are written for a gap, at most


class Hearing:
    """Decodes sound, silence where it is late; `loudness`: of the newest of `packets`, 0 to 1."""

    def __init__(self, record: Path | None = None) -> None:
        """Begins with nothing heard; `record`: WAV file (48 kHz, 16 bits) to write, if any."""
        self.loudness, self.packets = 0.0, 0
        self._record, self._file = record, None
        self._waiting: dict[int, tuple[float, bytes]] = {}
        self._next: int | None = None
        self._opus, self._channels = None, 0

    def push(self, group: AudioGroup, now: float) -> None:
        """Takes packets that came at a time in seconds."""
        if self._opus is None or group.channels != self._channels:
            self._opus = av.CodecContext.create("libopus", "r")
            self._opus.sample_rate = SAMPLE_RATE
            self._opus.layout = "mono" if group.channels == 1 else "stereo"
            self._channels = group.channels
        for place, packet in enumerate(group.packets, group.first):
            if self._next is None or place >= self._next:
                self._waiting[place] = now, packet
        self.poll(now)

    def poll(self, now: float) -> None:
        """Decodes what is due by now."""
        while self._waiting:
            first = min(self._waiting)
            since, packet = self._waiting[first]
            late = now - since >= PATIENCE or len(self._waiting) > _MOST_WAITING
            if self._next not in (None, first) and not late:
                return
            del self._waiting[first]
            if self._next is not None:
                self._silence(first - self._next)
            self._next = first + 1
            self._decode(packet)

    def close(self) -> None:
        """Ends the recording; one without any sound is a file without samples."""
        self.poll(float("inf"))
        if self._record is not None:
            self._open().close()
            self._record = None

    def _open(self) -> wave.Wave_write:
        if self._file is None:
            self._file = wave.open(str(self._record), "wb")
            self._file.setnchannels(self._channels or 1)
            self._file.setsampwidth(2)
            self._file.setframerate(SAMPLE_RATE)
        return self._file

    def _silence(self, packets: int) -> None:
        count = min(packets * PACKET_SAMPLES, _MOST_SILENCE)
        if count and self._record is not None:
            file = self._open()
            file.writeframes(bytes(2 * count * file.getnchannels()))

    def _decode(self, packet: bytes) -> None:
        assert self._opus is not None
        try:
            frames = self._opus.decode(av.Packet(packet))
        except av.FFmpegError:
            return
        for frame in frames:
            # [channels, n] in planes, or [1, n * channels] side by side.
            samples = frame.to_ndarray()
            whole = 32768 if samples.dtype == np.int16 else 1
            side = samples.T if frame.format.is_planar else samples.reshape(-1, self._channels)
            value = np.clip(side / whole, -1, 1)
            self.loudness = float(np.sqrt(np.mean(np.square(value))))
            self.packets += 1
            if self._record is not None and self._open().getnchannels() == self._channels:
                self._open().writeframes(np.round(value * 32767).astype("<i2").tobytes())
