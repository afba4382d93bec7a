"""The sender of a call: the newest frame to one packet, a key picture when it is wanted.

source ─► body ─► latent ─► levels ─► MOTION packet        one a frame
└─ first frame, cuts, wishes ─► VVC intra ─► KEY packets, until the receiver has them
"""

import time

import numpy as np

from hvc_jax import keyframes
from hvc_jax.call.avatar import Avatar, body_of
from hvc_jax.call.link import Link
from hvc_jax.call.packets import TICKS, Feedback, KeyMessage, Motion, pack, unpack
from hvc_jax.call.source import LiveSource, Taken
from hvc_jax.call.statistics import Latest, Window
from hvc_jax.call.threads import Threads
from hvc_jax.codec.codec import Codec
from hvc_jax.codec.scenes import BodyFinder
from hvc_jax.data.cuts import CutDetector
from hvc_jax.stream.container import KeyUnit
from hvc_jax.stream.header import Header
from hvc_jax.stream.levels import Levels
from hvc_jax.stream.sound import AudioGroup
from hvc_jax.stream.vectors import VectorEncoder

_KEY_AGAIN = 0.3  # seconds after which a key picture is sent again that has not arrived
_KEYS_APART = 1.0  # least seconds between new key pictures
_RESYNC_EVERY = 50  # frames, where nothing is lost


class Sender(Threads):
    """Codes and sends in a thread of its own."""

    def __init__(
        self,
        codec: Codec,
        source: LiveSource,
        link: Link,
        to: tuple[str, int],
        session: int,
        *,
        qp: int = 32,
        avatar: np.ndarray | None = None,
    ) -> None:
        """Prepares a sender with a semantic or keypoint codec.

        `link`: where packets go out and feedback comes in; `to`: address of the receiver;
        `session`: number that marks the packets of this call; `qp`: of key pictures; `avatar`: [H,
        H, 3] uint8 of the person who is shown instead; the frames themselves are never sent then.
        """
        self._codec, self._source, self._link, self._to = codec, source, link, to
        self._session, self._qp, self._avatar = session, qp, avatar
        schema, tables = codec.export.tables.schema, codec.export.tables
        self._levels, self._vectors = Levels(schema), VectorEncoder(schema, tables)
        self._find, self._cuts = BodyFinder(0), CutDetector()
        self._moves: Avatar | None = None
        self._parts: list[bytes] = []
        self._key_picture: np.ndarray | None = None  # as the receiver sees it
        self._key, self._key_sent, self._key_made = 0, 0.0, 0.0
        self._feedback: Feedback | None = None
        self._resync = self._new_key = False
        self._since_resync = 0
        self.shown: Latest[np.ndarray] = Latest()  # the newest frame that was sent
        self.frames = self.key_bytes = 0  # sent; of the last key picture
        self._pictures, self._sound = Window(), Window()
        self.analysis = Window()
        super().__init__(self._code)

    @property
    def kbps(self) -> tuple[float, float]:
        """See the class."""
        return self._pictures.rate() * 8e-3, self._sound.rate() * 8e-3

    def hear(self, group: AudioGroup) -> None:
        """Sends the sound that goes with a frame."""
        if group.packets:
            self._sound.add(self._send(pack(group, self._session)))

    def _code(self) -> None:
        while not self._stop.is_set():
            if self._source.error is not None:
                raise self._source.error
            self._listen()
            taken = self._source.frames.take(0.01)
            if taken is not None and self._feedback is not None:
                self._frame(taken)

    def _send(self, data: bytes) -> int:
        before = self._link.bytes
        self._link.send(data, self._to)
        return self._link.bytes - before

    def _listen(self) -> None:
        """Takes the feedback that has come, and sends the key picture again if it is missing."""
        while (came := self._link.receive(0)) is not None:
            found = unpack(came[0])
            if found is None or found[0] != self._session or not isinstance(found[1], Feedback):
                continue
            self._feedback = found[1]
            self._resync |= found[1].motion_wanted
            self._new_key |= found[1].key_wanted
        now, has = time.monotonic(), self._feedback
        arrived = has is not None and has.key == self._key
        if self._parts and not arrived and now - self._key_sent > _KEY_AGAIN:
            self._send_key()

    def _send_key(self) -> None:
        self._key_sent = time.monotonic()
        for part in self._parts:
            self._pictures.add(self._send(part))

    def _frame(self, taken: Taken) -> None:
        """Sends one frame."""
        started = time.monotonic()
        picture = taken.picture
        body = body_of(self._codec, picture, self._find)
        cut = self._cuts.push(picture)
        wanted = (self._new_key or cut) and self._avatar is None
        if not self._parts or (wanted and started - self._key_made > _KEYS_APART):
            self._make_key(picture, body)
        latent = self._codec.networks.analyse_one(picture, self._key_picture, body)
        if self._moves is not None:
            latent = self._moves.moved(latent)
        levels = self._levels.of(latent[None])[:, : self._levels.dynamic]
        loss = self._feedback.loss / 255 if self._feedback else 0.0
        every = min(_RESYNC_EVERY, max(1, round(0.5 / max(loss, 1e-3))))
        resync = self._resync or self._since_resync >= every
        self._since_resync = 1 if resync else self._since_resync + 1
        self._resync = False
        group = self._vectors.group(self.frames, levels, resync)
        ticks = int(taken.time * TICKS) % 2**32
        self._pictures.add(self._send(pack(Motion(self._key, ticks, group), self._session)))
        self.frames += 1
        self.shown.put(picture)
        self.analysis.add(time.monotonic() - started)

    def _make_key(self, picture: np.ndarray, body: np.ndarray) -> None:
        """Codes and sends a key picture: this one, that of the avatar, or where wanted none."""
        codec = self._codec
        if self._avatar is not None:
            picture, body = self._avatar, body_of(codec, self._avatar, BodyFinder(0))
        height, width = picture.shape[:2]
        content, kind = b"", 0
        if self._feedback is None or not self._feedback.own_picture:
            coded = keyframes.encode(picture, self._qp)
            content, kind = coded.payload, coded.codec
            picture = keyframes.decode(kind, content, height, width)
        static, key_latent = self._vectors.key(codec.networks.analyse_key(picture, body))
        self._key_picture = picture
        if self._avatar is not None:
            self._moves = Avatar(codec, key_latent)
        header = Header(codec.variant, width, height, self._source.fps, None, codec.export.model_id)
        self._key = self._key % 0xFFFF + 1
        message = KeyMessage(header, static, KeyUnit(0, kind, self._qp, content))
        self._parts = [pack(part, self._session) for part in message.parts(self._key)]
        self.key_bytes = sum(map(len, self._parts))
        self._resync, self._new_key, self._key_made = True, False, time.monotonic()
        self._send_key()
