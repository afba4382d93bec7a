"""Frames of damaged streams: what is intact is drawn, what is lost is held."""

import contextlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from hvc_jax.codec.codec import Codec, key_picture
from hvc_jax.stream.conceal import ConcealingDecoder, frames_and_keys, intact_sound, salvage
from hvc_jax.stream.container import key_unit
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.units import UnitType, motion_group


class Intact:
    """What is intact of a stream that may be damaged anywhere behind its header.

    `units`, in order, and `sound` are intact; `frame_count` frames should be there and `keys` are
    their key frames, as far as known; `lost_keys` lost their pictures; `held` are frames held so
    far.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Finds it in a binary file at its beginning; BitstreamError: the header is damaged."""
        self.header, units = salvage(file)
        self.units = list(units)
        self.sound = intact_sound(self.units)
        self.frame_count, self.keys = frames_and_keys(self.header, self.units)
        shown = {unit.frame for unit in self.units if unit.type == UnitType.KEY}
        self.lost_keys = [frame for frame in self.keys if frame not in shown]
        self.held: list[int] = []


class RepairingDecoder(Intact):
    """Decodes what is left of a stream.

    Where motion is lost the last pose is held until a unit that decodes on its own; where a key
    picture is lost the one before stays, and grey stands for the first.
    """

    def __init__(self, codec: Codec, file: BinaryIO) -> None:
        """Finds what is intact, with the codec of the stream's model.

        `file`: binary file at the beginning of the stream. Raises BitstreamError: The header is
        damaged. Raises CodecError: It was made with another model.
        """
        super().__init__(file)
        self._codec = codec
        vectors = codec.vector_decoder(self.header)
        self._decoder = ConcealingDecoder(vectors, self.frame_count, self.keys)
        self._picture = np.full((self.header.height, self.header.width, 3), 128, np.uint8)
        self._features = self._key_latent = None

    def frames(self) -> Iterator[np.ndarray]:
        """Yields all frames [H, W, 3] uint8 RGB; once."""
        waiting = None
        for unit in self.units:
            if unit.type in (UnitType.STATIC, UnitType.MOTION):
                yield from self._hold(unit.frame)
            with contextlib.suppress(BitstreamError):
                if unit.type == UnitType.KEY:
                    waiting = key_picture(key_unit(unit), self.header, unit.offset)
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
