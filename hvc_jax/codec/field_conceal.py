"""Frames of damaged streams of variants with a displacement field."""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from hvc_jax.codec.conceal import Intact
from hvc_jax.codec.field_codec import FieldCodec
from hvc_jax.stream.conceal import MOST_HELD
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.units import UnitType


class FieldRepairingDecoder(Intact):
    """Decodes what is left: a lost unit holds the last picture until the next intra key picture."""

    def __init__(self, codec: FieldCodec, file: BinaryIO) -> None:
        """See `conceal.RepairingDecoder`, as the errors."""
        super().__init__(file)
        self._decoder = codec.decoder(self.header)

    def frames(self) -> Iterator[np.ndarray]:
        """Yields all frames [H, W, 3] uint8 RGB, once; BitstreamError: a gap too long to hold."""
        shown, done = np.full((*self._decoder.size, 3), 128, np.uint8), 0

        def hold(until: int) -> Iterator[np.ndarray]:
            nonlocal done
            if until - done > MOST_HELD:
                raise BitstreamError(f"{until - done} frames are missing, too many to hold over")
            while done < until:
                self.held.append(done)
                done += 1
                yield shown

        for unit in self.units:
            if unit.type in (UnitType.KEY, UnitType.FIELD) and unit.frame > done:
                self._decoder.lose()
                yield from hold(min(unit.frame, self.frame_count))
            if unit.type == UnitType.FIELD and unit.frame < done:
                continue  # its frames have come out
            try:
                for frame in self._decoder.push(unit):
                    shown, done = frame, done + 1
                    yield frame
                if unit.type == UnitType.KEY:  # held where the field behind it is lost
                    shown = self._decoder.key_shown(unit.frame)
            except BitstreamError:
                self._decoder.lose()
        yield from hold(self.frame_count)
