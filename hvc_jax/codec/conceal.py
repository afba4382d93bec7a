"""Frames of damaged streams: what is intact is drawn, what is lost is held."""

import contextlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from hvc_jax.codec.codec import Codec, key_picture
from hvc_jax.stream.conceal import (
    ConcealingDecoder,
    frames_and_keys,
    intact_sound,
    salvage,
)
from hvc_jax.stream.container import key_unit
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.units import UnitType, motion_group


class RepairingDecoder:
    """Decodes a stream that may be damaged anywhere behind its header.

    Where motion is lost the last pose is held until a unit that decodes on its own; where a key
    picture is lost the one before stays, and grey stands for the first.

    Attributes:
      frame_count: frames that there should be, as far as known.
      held: numbers of the frames that were held so far.
      lost_keys: numbers of the key frames whose pictures are known to be lost.
      sound: what is intact of it.
      units: Those that are intact, in order.
    """

    def __init__(self, codec: Codec, file: BinaryIO) -> None:
        """Finds what is intact.

        Args:
          codec: of the model that made the stream.
          file: binary file at the beginning of the stream.

        Raises:
          BitstreamError: The header is damaged.
          CodecError: It was made with another model.
        """
        self._codec = codec
        self._header, units = salvage(file)
        vectors = codec.vector_decoder(self._header)
        self.units = list(units)
        self.sound = intact_sound(self.units)
        self.frame_count, keys = frames_and_keys(self._header, self.units)
        self._decoder = ConcealingDecoder(vectors, self.frame_count, keys)
        self._picture = np.full((self._header.height, self._header.width, 3), 128, np.uint8)
        self._features = self._key_latent = None
        self.held: list[int] = []
        shown = {unit.frame for unit in self.units if unit.type == UnitType.KEY}
        self.lost_keys = [frame for frame in keys if frame not in shown]

    def frames(self) -> Iterator[np.ndarray]:
        """Yields all frames [H, W, 3] uint8 RGB; once."""
        waiting = None
        for unit in self.units:
            if unit.type in (UnitType.STATIC, UnitType.MOTION):
                yield from self._hold(unit.frame)
            with contextlib.suppress(BitstreamError):
                if unit.type == UnitType.KEY:
                    waiting = key_picture(key_unit(unit), self._header, unit.offset)
                elif unit.type == UnitType.STATIC:
                    latent = self._decoder.key(unit.payload, unit.frame)
                    if latent is not None and waiting is not None:
                        self._picture, self._key_latent = waiting, latent
                        self._features = self._codec.networks.features(waiting)
                    waiting = None
                elif unit.type == UnitType.EDIT_STATIC:
                    self._decoder.edit_static(unit.payload, unit.frame)
                elif unit.type == UnitType.MOTION:
                    before = self._decoder.concealed
                    latents = self._decoder.motion(motion_group(unit))
                    yield from self._draw(latents, self._decoder.concealed > before)
        yield from self._hold(self.frame_count)

    def _hold(self, frame: int) -> Iterator[np.ndarray]:
        while len(latents := self._decoder.hold_until(frame)):
            yield from self._draw(latents, True)

    def _draw(self, latents: np.ndarray, held: bool) -> Iterator[np.ndarray]:
        if held:
            self.held.extend(range(self._decoder.frame - len(latents), self._decoder.frame))
        if self._features is None:
            yield from (self._picture.copy() for _ in latents)
        else:
            draw = self._codec.networks.draw
            yield from draw(self._picture, self._features, self._key_latent, latents)
