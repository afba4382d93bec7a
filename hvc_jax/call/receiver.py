"""The receiver of a call: packets to latents to the newest picture, and feedback to the sender.

One thread takes packets and decodes numbers, which is quick; another draws the newest latent and
leaves out those that came while it was drawing.
"""

import threading
import time
from typing import Any, NamedTuple

import av
import numpy as np

from hvc_jax.call.arrivals import Arrivals
from hvc_jax.call.link import Link
from hvc_jax.call.packets import (
    TICKS,
    Feedback,
    KeyCollector,
    KeyMessage,
    KeyPart,
    Motion,
    pack,
    unpack,
)
from hvc_jax.call.statistics import Latest, Window
from hvc_jax.codec.codec import Codec, key_picture
from hvc_jax.stream.sound import SAMPLE_RATE, AudioGroup

_TELL_EVERY = 0.1  # seconds between feedback packets


class _Key(NamedTuple):
    """A key picture that has arrived: its picture, features and latent."""

    number: int
    picture: np.ndarray
    features: Any
    latent: np.ndarray
    arrivals: Arrivals


class _ToDraw(NamedTuple):
    key: _Key
    latent: np.ndarray
    time: int


class Receiver:
    """Takes a call in threads of its own.

    Attributes:
      shown: The newest picture [H, W, 3] uint8.
      frames: Pictures that were drawn.
      foreign: Packets that were damaged or not of this call.
      loudness: Root mean square of the newest sound, 0 to 1.
      sound_packets: Packets of sound that were decoded.
      latency: Seconds from taking to showing each frame, both on this machine's clock.
      drawing: Seconds that frames took to be drawn.
      drawn: 1 for every frame that was drawn.
      error: What ended one of its threads, if anything did.
    """

    def __init__(self, codec: Codec, link: Link, session: int) -> None:
        """Prepares a receiver.

        Args:
          codec: Of the model that the sender uses.
          link: Where packets come in and feedback goes out.
          session: Number of the call.
        """
        self._codec, self._link, self._session = codec, link, session
        self._keys, self._key, self._key_wanted = KeyCollector(), None, False
        self._from: tuple[str, int] | None = None
        self._time, self._told = 0, 0.0
        self._before = (0, 0)  # packets received and lost with earlier key pictures
        self._to_draw: Latest[_ToDraw] = Latest()
        self.shown: Latest[np.ndarray] = Latest()
        self.frames = self.foreign = self.sound_packets = 0
        self.loudness = 0.0
        self._opus: Any = None
        self._opus_channels = 0
        self.latency, self.drawing, self.drawn = Window(), Window(), Window()
        self.error: Exception | None = None
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._guarded, args=(job,), name="hvc call", daemon=True)
            for job in (self._listen, self._draw)
        ]

    @property
    def counts(self) -> tuple[int, int]:
        """Motion packets received and lost."""
        received, lost = self._before
        key: _Key | None = self._key
        if key is not None:
            received, lost = received + key.arrivals.received, lost + key.arrivals.lost
        return received, lost

    def start(self) -> None:
        """Starts to receive."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends the threads."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(10)

    def ask_for_key(self) -> None:
        """Asks the sender for a new key picture."""
        self._key_wanted = True

    def _guarded(self, job: Any) -> None:
        try:
            job()
        except Exception as error:  # told by the call, which ends
            self.error = error

    def _listen(self) -> None:
        while not self._stop.is_set():
            came = self._link.receive(0.02)
            now = time.monotonic()
            if came is not None:
                self._take(*came, now)
            if self._key is not None:
                self._hand_on(self._key, self._key.arrivals.poll(now))
            if self._from is not None and now - self._told > _TELL_EVERY:
                self._tell(now)

    def _take(self, data: bytes, address: tuple[str, int], now: float) -> None:
        found = unpack(data)
        if found is None or found[0] != self._session or isinstance(found[1], Feedback):
            self.foreign += 1
            return
        self._from, message = address, found[1]
        if isinstance(message, KeyPart):
            whole = None if self._has(message.key) else self._keys.push(message)
            if whole is not None:
                self._open(message.key, whole)
                self._tell(now)
        elif isinstance(message, Motion):
            key = self._key
            if key is not None and message.key == key.number:
                self._time = message.time
                was_broken = key.arrivals.broken
                self._hand_on(key, key.arrivals.push(message, now))
                if key.arrivals.broken and not was_broken:
                    self._tell(now)
        else:
            self._hear(message)

    def _has(self, number: int) -> bool:
        return self._key is not None and self._key.number == number

    def _open(self, number: int, data: bytes) -> None:
        """Begins with a new key picture; one that cannot be decoded is left out."""
        try:
            message = KeyMessage.read(data)
            decoder = self._codec.vector_decoder(message.header)
            picture = key_picture(message.key, message.header, 0)
            latent = decoder.key(message.static)
        except ValueError:  # damaged, or of another model
            self.foreign += 1
            return
        self._before = self.counts
        features = self._codec.networks.features(picture)
        self._key = _Key(number, picture, features, latent, Arrivals(decoder))
        self._key_wanted = False

    def _hand_on(self, key: _Key, made: list[tuple[Motion, np.ndarray]]) -> None:
        for motion, latent in made:
            self._to_draw.put(_ToDraw(key, latent, motion.time))

    def _tell(self, now: float) -> None:
        """Sends feedback."""
        key = self._key
        loss = 0 if key is None else round(255 * key.arrivals.loss)
        broken = key is not None and key.arrivals.broken
        number = 0 if key is None else key.number
        feedback = Feedback(number, broken, self._key_wanted, loss, self._time)
        assert self._from is not None
        self._link.send(pack(feedback, self._session), self._from)
        self._told = now

    def _hear(self, group: AudioGroup) -> None:
        """Decodes sound; what a player would take is measured and let go."""
        if self._opus is None or group.channels != self._opus_channels:
            self._opus = av.CodecContext.create("libopus", "r")
            self._opus.sample_rate = SAMPLE_RATE
            self._opus.layout = "mono" if group.channels == 1 else "stereo"
            self._opus_channels = group.channels
        for packet in group.packets:
            try:
                for frame in self._opus.decode(av.Packet(packet)):
                    samples = frame.to_ndarray()
                    whole = 32768 if samples.dtype == np.int16 else 1
                    self.loudness = float(np.sqrt(np.mean(np.square(samples / whole))))
                    self.sound_packets += 1
            except av.FFmpegError:
                continue

    def _draw(self) -> None:
        while not self._stop.is_set():
            item = self._to_draw.take(0.05)
            if item is None:
                continue
            started, key = time.monotonic(), item.key
            draw = self._codec.networks.draw_one
            picture, _ = draw(key.picture, key.features, key.latent, item.latent)
            now = time.monotonic()
            self.shown.put(picture)
            self.frames += 1
            self.drawing.add(now - started)
            self.drawn.add(1)
            ticks = (int(now * TICKS) - item.time) % 2**32
            self.latency.add(ticks / TICKS)
