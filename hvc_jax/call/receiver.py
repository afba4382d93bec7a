"""The receiver of a call: packets to latents to the newest picture, and feedback to the sender.

One thread takes packets and decodes numbers, which is quick; another draws the newest latent and
leaves out those that came while it was drawing.
"""

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hvc_jax.call.arrivals import Arrivals
from hvc_jax.call.avatar import Avatar, body_of
from hvc_jax.call.hearing import Hearing
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
from hvc_jax.call.threads import Threads
from hvc_jax.codec.codec import Codec, key_picture
from hvc_jax.codec.networks import KeyFrame
from hvc_jax.codec.scenes import BodyFinder

_TELL_EVERY = 0.1  # seconds between feedback packets


class _Key(NamedTuple):
    """A key frame that has arrived, ready to be drawn from."""

    number: int
    frame: KeyFrame
    arrivals: Arrivals


class _ToDraw(NamedTuple):
    key: _Key
    latent: np.ndarray
    time: int


class Receiver(Threads):
    """Takes a call in threads of its own."""

    def __init__(
        self,
        codec: Codec,
        link: Link,
        sender: tuple[str, int],
        session: int,
        avatar: np.ndarray | None = None,
        record: Path | None = None,
    ) -> None:
        """Prepares a receiver.

        `link`: where packets come in and feedback goes out; `sender`: its address; `session`:
        number of the call; `avatar`: [H, H, 3] uint8 of the person who is shown instead of the
        sender's, of whom no picture is asked for then; `record`: WAV file for the sound, if any.
        """
        self._codec, self._link, self._session = codec, link, session
        self._keys, self._key, self._key_wanted = KeyCollector(), None, False
        self._to, self._avatar, self._moves = sender, avatar, None
        self.hearing = Hearing(record)
        self._time, self._told = 0, 0.0
        self._before = (0, 0)  # packets received and lost with earlier key pictures
        self._to_draw: Latest[_ToDraw] = Latest()
        self.shown: Latest[np.ndarray] = Latest()  # the newest picture [H, W, 3] uint8
        self.frames = self.foreign = 0  # drawn; packets that were damaged or not of this call
        # Seconds from taking to showing a frame (both on this machine's clock), and to draw it; 1s.
        self.latency, self.drawing, self.drawn = Window(), Window(), Window()
        super().__init__(self._listen, self._draw)

    @property
    def counts(self) -> tuple[int, int]:
        """Motion packets received and lost."""
        received, lost = self._before
        key: _Key | None = self._key
        if key is not None:
            received, lost = received + key.arrivals.received, lost + key.arrivals.lost
        return received, lost

    def stop(self) -> None:
        """Ends the threads and the recording."""
        super().stop()
        self.hearing.close()

    def ask_for_key(self) -> None:
        """Asks the sender for a new key picture."""
        self._key_wanted = True

    def _listen(self) -> None:
        while not self._stop.is_set():
            came = self._link.receive(0.02)
            now = time.monotonic()
            if came is not None:
                self._take(*came, now)
            if self._key is not None:
                self._hand_on(self._key, self._key.arrivals.poll(now))
            self.hearing.poll(now)
            if now - self._told > _TELL_EVERY:
                self._tell(now)

    def _take(self, data: bytes, address: tuple[str, int], now: float) -> None:
        found = unpack(data)
        ours = address == self._to and found is not None and found[0] == self._session
        if found is None or not ours or isinstance(found[1], Feedback):
            self.foreign += 1
            return
        message = found[1]
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
            self.hearing.push(message, now)

    def _has(self, number: int) -> bool:
        return self._key is not None and self._key.number == number

    def _open(self, number: int, data: bytes) -> None:
        """Begins with a new key picture; one that cannot be decoded is left out."""
        try:
            message = KeyMessage.read(data)
            decoder = self._codec.vector_decoder(message.header)
            latent = decoder.key(message.static)
            if self._avatar is None:
                picture = key_picture(message.key, message.header, 0)
            else:
                picture, latent = self._own_picture(self._avatar)
        except ValueError:  # damaged, or of another model
            self.foreign += 1
            return
        self._before = self.counts
        frame = self._codec.networks.key_frame(picture, latent)
        self._key = _Key(number, frame, Arrivals(decoder))
        self._key_wanted = False

    def _own_picture(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The avatar's picture and latent."""
        if self._moves is None:
            body = body_of(self._codec, picture, BodyFinder(0))
            self._moves = Avatar(self._codec, self._codec.networks.analyse_key(picture, body))
        return picture, self._moves.latent

    def _hand_on(self, key: _Key, made: list[tuple[Motion, np.ndarray]]) -> None:
        for motion, latent in made:
            if self._moves is not None:
                latent = self._moves.moved(latent)
            self._to_draw.put(_ToDraw(key, latent, motion.time))

    def _tell(self, now: float) -> None:
        """Sends feedback."""
        key = self._key
        loss = 0 if key is None else round(255 * key.arrivals.loss)
        broken = key is not None and key.arrivals.broken
        number = 0 if key is None else key.number
        own = self._avatar is not None
        feedback = Feedback(number, broken, self._key_wanted, loss, self._time, own)
        self._link.send(pack(feedback, self._session), self._to)
        self._told = now

    def _draw(self) -> None:
        while not self._stop.is_set():
            item = self._to_draw.take(0.05)
            if item is None:
                continue
            started = time.monotonic()
            picture, _ = self._codec.networks.draw_one(item.key.frame, item.latent)
            now = time.monotonic()
            self.shown.put(picture)
            self.frames += 1
            self.drawing.add(now - started)
            self.drawn.add(1)
            ticks = (int(now * TICKS) - item.time) % 2**32
            self.latency.add(ticks / TICKS)
