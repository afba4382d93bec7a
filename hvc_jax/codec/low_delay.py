"""A segment without delay: every frame is coded when it comes, from past pictures alone.

frame ─► field from the last key picture, predicted by the field of the frame before ─┐
  └───► or a key picture, predicted from those before it ◄── when the field costs more ┘
"""

import numpy as np

from hvc_jax.codec.field_group import FieldFormat, LastField, predicted_points, references_at
from hvc_jax.codec.search import FieldOptions, encode_group
from hvc_jax.codec.segment import Quality
from hvc_jax.keyframes.picture import KeyPictureError
from hvc_jax.keyframes.sequence import CodedKey, SequenceDecoder, encode_sequence
from hvc_jax.stream.field_unit import FieldGroup, Predicted, grid_size

PREDICTED_SHARE = 0.4
"""Bytes of a predicted key picture over those of an intra one, until the first one is coded."""


class LowDelaySegment:
    """Codes the frames of a segment, the first of which is an intra key picture.

    `key`: the intra key picture as coded; `count`: frames so far whose units were given.
    """

    def __init__(
        self, frame: np.ndarray, quality: Quality, codec: str, effort: int, spacing: int
    ) -> None:
        """Codes the first frame [H, W, 3] uint8.

        Args:
          frame: the first.
          quality: operating point.
          codec: "vvc", "av1" or "auto".
          effort: 0 to 3, see `search`.
          spacing: frames between key pictures; 0 has one when the mean cost of a frame since
            the last one would rise without, the cost being squared error + lmbda * bits.

        Raises KeyPictureError: the picture cannot be coded with these options.
        """
        self._quality, self._codec, self._spacing = quality, codec, spacing
        grid = grid_size(quality.grid, *frame.shape[:2])
        self._options = FieldOptions(quality.lmbda, grid, quality.step, effort)
        self._decoder = SequenceDecoder(*frame.shape[:2])
        self._sources = [frame]
        # One picture alone would be coded as a still, which no sequence begins with.
        self.key = self._coded([frame, frame])[0]
        self._payloads = [self.key.payload]
        self._picture = self._decoder.push(self.key.codec, self.key.payload)
        self._key_frame, self._last = 0, None
        self._next_key = PREDICTED_SHARE * len(self.key.payload)  # bytes, as far as known
        self._spent = self._error(frame, self._picture)  # cost since the last key picture
        self.count = 0

    def first(self) -> FieldGroup:
        """The unit of the first frame, which the intra key picture shows."""
        return self._group(0, (), b"")

    def push(self, frame: np.ndarray) -> tuple[FieldGroup, np.ndarray]:
        """The unit of the next frame [H, W, 3] uint8, counted from the segment's first; and the
        frame as it is decoded.

        Raises KeyPictureError: the picture codec cannot go on with its sequence here.
        """
        t = self.count
        since = t - self._key_frame
        if since == self._spacing:
            return self._predicted_key(t, frame)
        references = references_at(
            np.array([t]), np.array([self._key_frame]), self._picture[None], low_delay=True
        )
        form = FieldFormat(*self._options.grid, self._options.step)
        prediction = predicted_points(self._last, np.array([t]), np.array([self._key_frame]), form)
        made = encode_group(frame[None], references, self._options, prediction)
        whole = self._spent + self._bits(self._next_key)
        if not self._spacing and since > 1 and made.cost > whole / since:
            return self._predicted_key(t, frame)
        self._spent += made.cost
        self._last = LastField(t, self._key_frame, made.control_points[0])
        return self._group(t, (), made.payload), made.frames[0]

    def _predicted_key(self, t: int, frame: np.ndarray) -> tuple[FieldGroup, np.ndarray]:
        """The unit of frame `t` as a key picture, and the picture."""
        self._sources.append(frame)
        coded = self._coded(self._sources)
        payloads = [key.payload for key in coded]
        if payloads[:-1] != self._payloads:
            raise KeyPictureError("The picture codec cannot go on with its sequence.")
        self._payloads = payloads
        self._picture = self._decoder.push(coded[-1].codec, payloads[-1])
        self._key_frame, self._last, self._next_key = t, None, len(payloads[-1])
        self._spent = self._error(frame, self._picture)
        return self._group(t, (Predicted(t, payloads[-1]),), b""), self._picture

    def _coded(self, pictures: list[np.ndarray]) -> list[CodedKey]:
        return encode_sequence(pictures, self._quality.key_qp, low_delay=True, codec=self._codec)

    def _group(self, t: int, pictures: tuple[Predicted, ...], payload: bytes) -> FieldGroup:
        self.count = t + 1  # last of all, so that a frame that failed is not counted
        return FieldGroup(t, 1, pictures, self._quality.grid, self._quality.step, payload, True)

    def _bits(self, size: float) -> float:
        return self._options.lmbda * 8 * size

    @staticmethod
    def _error(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.square(a.astype(np.float32) - b).mean())
