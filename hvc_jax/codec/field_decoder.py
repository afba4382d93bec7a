"""The decoder of variants with a displacement field: key pictures, fields between them, edits.

KEY, FIELD ─► key pictures in coded order ─┐
FIELD ─► displacements ────────────────────┴─► warped, blended frames ─┐
MOTION, EDIT ─► sent and edited body vectors (hybrid) ─────────────────┴─► frames
"""

from collections.abc import Callable, Iterator

import jax.numpy as jnp
import numpy as np

from hvc_jax.codec.field_group import (
    FieldFormat,
    LastField,
    decode_group,
    predicted_points,
    references_at,
)
from hvc_jax.keyframes.picture import KeyPictureError
from hvc_jax.keyframes.sequence import SequenceDecoder
from hvc_jax.models.motion.pose_change import change_pose
from hvc_jax.ops.batching import batches, padded
from hvc_jax.ops.compile import fast_jit
from hvc_jax.stream.container import key_unit
from hvc_jax.stream.edit import edited_levels
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.field_unit import FieldGroup, field_group, grid_size
from hvc_jax.stream.header import Header
from hvc_jax.stream.units import Unit, UnitType, motion_group
from hvc_jax.stream.vectors import VectorDecoder

_EDITED_TOGETHER = 4  # frames whose pose is changed by one call

_change_pose = fast_jit(change_pose)


class FieldDecoder:
    """Units in, frames out.

    Attributes:
      frame: Number of the next frame to come out.
      size: (height, width) of the pictures.
    """

    def __init__(self, header: Header, vectors: Callable[[], VectorDecoder] | None = None) -> None:
        """Prepares a decoder at a key picture.

        Args:
          header: Of the stream.
          vectors: Makes decoders of the parameters, for hybrid streams.
        """
        self.size = header.height, header.width
        self._pictures = SequenceDecoder(*self.size)
        self._codec = 0
        self._keys: dict[int, np.ndarray] = {}  # key pictures of this segment by frame
        self._last: LastField | None = None
        self._sent, self._edited = (vectors(), vectors()) if vectors else (None, None)
        self._poses: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # sent and edited, by frame
        self.frame = 0

    def push(self, unit: Unit) -> Iterator[np.ndarray]:
        """Yields the frames [H, W, 3] uint8 that a unit completes.

        Raises:
          BitstreamError: The unit is damaged, or what it needs was not there.
        """
        if unit.type == UnitType.KEY:
            key = key_unit(unit)
            self._codec, self.frame, self._last = key.codec, unit.frame, None
            self._keys = {unit.frame: self._picture(key.payload, unit)}
        elif unit.type == UnitType.STATIC and self._sent is not None:
            self._sent.key(unit.payload), self._edited.key(unit.payload)
        elif unit.type == UnitType.MOTION and self._sent is not None:
            vectors = self._sent.motion(motion_group(unit))
            self._poses |= {unit.frame + i: (v, v) for i, v in enumerate(vectors)}
        elif unit.type == UnitType.EDIT and self._edited is not None:
            vectors = self._edited.to_vectors(edited_levels(unit, self._edited))
            for i, vector in enumerate(vectors):
                if unit.frame + i in self._poses:
                    self._poses[unit.frame + i] = self._poses[unit.frame + i][0], vector
        elif unit.type == UnitType.FIELD:
            group = field_group(unit)
            yield from self._posed(group.frame, self._frames(group, unit))
            self.frame = group.frame + group.count

    def lose(self) -> None:
        """Tells that a unit is lost: nothing decodes until the next intra key picture."""
        self._pictures.lose()
        self._keys, self._last = {}, None

    def _picture(self, payload: bytes, unit: Unit) -> np.ndarray:
        try:
            return self._pictures.push(self._codec, payload)
        except KeyPictureError as error:
            raise BitstreamError(str(error), unit.offset) from error

    def _frames(self, group: FieldGroup, unit: Unit) -> np.ndarray:
        """The frames [T, H, W, 3] uint8 of a group, as they were coded."""
        if not self._keys:
            raise BitstreamError("a field without a key picture before it", unit.offset)
        for picture in group.pictures:
            self._keys[picture.frame] = self._picture(picture.payload, unit)
        shown = range(group.frame, group.frame + group.count)
        times = np.array([t for t in shown if t not in self._keys], int)
        frames = {t: self._keys[t] for t in shown if t in self._keys}
        last, self._last = self._last if group.predicted else None, None
        if len(times):
            key_times = np.array(sorted(self._keys))
            pictures = np.stack([self._keys[t] for t in key_times])
            form = FieldFormat(*grid_size(group.grid, *self.size), group.step)
            try:
                references = references_at(times, key_times, pictures)
                prediction = predicted_points(last, times, key_times[references.past], form)
                made = decode_group(group.payload, references, form, prediction)
            except ValueError as error:
                raise BitstreamError(str(error), unit.offset) from error
            frames |= dict(zip(times.tolist(), made.frames, strict=True))
            self._last = LastField(
                times[-1], key_times[references.past[-1]], made.control_points[-1]
            )
        kept = max(t for t in self._keys if t < group.frame + group.count)
        self._keys = {t: picture for t, picture in self._keys.items() if t >= kept}
        return np.stack([frames[t] for t in shown])

    def _posed(self, first: int, frames: np.ndarray) -> Iterator[np.ndarray]:
        """Yields the frames with their edits, if there are any."""
        poses = [self._poses.pop(first + i, None) for i in range(len(frames))]
        edited = [i for i, p in enumerate(poses) if p is not None and (p[0] != p[1]).any()]
        shown = list(frames)
        for part in batches(np.array(edited, int), _EDITED_TOGETHER):
            at = padded(part, _EDITED_TOGETHER)
            sent, wanted = (np.stack([poses[i][n] for i in at]) for n in (0, 1))
            made = _change_pose(jnp.asarray(frames[at], jnp.float32) / 255, sent, wanted)
            made = np.asarray(jnp.round(jnp.clip(made, 0, 1) * 255), np.uint8)
            for i, frame in zip(part, made, strict=False):
                shown[i] = frame
        yield from shown


def posed(frame: np.ndarray, sent: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """A frame [H, W, 3] uint8 with its body moved from the sent to the wanted vector, [188] each.

    What the decoder shows for an EDIT unit, of one frame at once.
    """
    made = _change_pose(jnp.asarray(frame[None], jnp.float32) / 255, sent[None], wanted[None])
    return np.asarray(jnp.round(jnp.clip(made[0], 0, 1) * 255), np.uint8)
