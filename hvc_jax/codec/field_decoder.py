"""The decoder of variants with a displacement field: key pictures, fields between them, edits.

KEY, FIELD ─► key pictures in coded order ─┐
FIELD ─► displacements ────────────────────┴─► warped ─► generator, or blend ─┐
MOTION, EDIT ─► sent and edited body vectors (hybrid) ────────────────────────┴─► frames
"""

import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.codec.field_group import (
    FieldFormat,
    LastField,
    decode_fields,
    predicted_points,
    references_at,
    rendered,
)
from hvc_jax.codec.field_network import FieldNetwork
from hvc_jax.codec.memory import DEFAULT_MAX_MEMORY, Fitting, check_memory
from hvc_jax.keyframes.picture import KeyPictureError
from hvc_jax.keyframes.sequence import SequenceDecoder
from hvc_jax.models.motion.pose_change import change_pose
from hvc_jax.ops.batching import padded
from hvc_jax.ops.compile import fast_jit
from hvc_jax.stream.container import key_unit
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.field_unit import FieldGroup, field_group, grid_size
from hvc_jax.stream.header import Header
from hvc_jax.stream.tracks import edited_levels
from hvc_jax.stream.units import Unit, UnitType, motion_group
from hvc_jax.stream.vectors import VectorDecoder

_EDITED_TOGETHER = 4  # frames whose pose is changed by one call
_WAITING = 16  # frames that wait for as many edited ones, at most


@fast_jit
def _change_pose(frames: jax.Array, sent: jax.Array, wanted: jax.Array) -> jax.Array:
    """Frames [N, H, W, 3] uint8 with bodies moved from the sent to the wanted vectors [N, 188]."""
    made = change_pose(frames.astype(jnp.float32) / 255, sent, wanted)
    return jnp.round(jnp.clip(made, 0, 1) * 255).astype(jnp.uint8)


class FieldDecoder:
    """Units in, frames out: next the one numbered `frame`, of `size` (height, width)."""

    def __init__(
        self,
        header: Header,
        vectors: Callable[[], VectorDecoder] | None = None,
        network: FieldNetwork | None = None,
        max_memory: int = DEFAULT_MAX_MEMORY,
    ) -> None:
        """Prepares a decoder at a key picture.

        `vectors` makes decoders of the parameters, for hybrid streams; `network` makes frames of
        displaced key pictures, None blends them; `max_memory`: bytes that key pictures may take,
        and drawing at once.
        """
        self._max_memory, self._change_pose = max_memory, _pose_changer(max_memory)
        self.size = header.height, header.width
        self._pictures = SequenceDecoder(*self.size)
        self._network = network
        self._codec = self._qp = 0
        self._keys: dict[int, np.ndarray] = {}  # key pictures of this segment by frame
        self._last: LastField | None = None
        self._sent, self._edited = (vectors(), vectors()) if vectors else (None, None)
        self._poses: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # sent and edited, by frame
        self.frame = 0

    def push(self, unit: Unit) -> Iterator[np.ndarray]:
        """Yields the frames [H, W, 3] uint8 that a unit completes.

        Raises BitstreamError: The unit is damaged, or what it needs was not there. Raises
        CodecError: It takes more memory than is allowed.
        """
        if unit.type == UnitType.KEY:
            key = key_unit(unit)
            self._codec, self._qp = key.codec, key.qp
            self.frame, self._last = unit.frame, None
            self._keys = {unit.frame: self._picture(key.payload, unit)}
        elif unit.type == UnitType.STATIC and self._sent is not None:
            self._sent.key(unit.payload), self._edited.key(unit.payload)
        elif unit.type == UnitType.MOTION and self._sent is not None:
            levels = self._sent.motion_levels(motion_group(unit))
            both = zip(self._sent.to_vectors(levels), self._edited.to_vectors(levels), strict=True)
            self._poses |= {unit.frame + i: poses for i, poses in enumerate(both)}
        elif unit.type == UnitType.EDIT_STATIC and self._edited is not None:
            self._edited.edit_static(unit.payload)
        elif unit.type == UnitType.EDIT and self._edited is not None:
            vectors = self._edited.to_vectors(edited_levels(unit, self._edited))
            for i, vector in enumerate(vectors):
                if unit.frame + i in self._poses:
                    self._poses[unit.frame + i] = self._poses[unit.frame + i][0], vector
        elif unit.type == UnitType.FIELD:
            group = field_group(unit)
            yield from self._posed(group.frame, self._frames(group, unit))
            self.frame = group.frame + group.count

    def key_shown(self, frame: int) -> np.ndarray:
        """The key picture [H, W, 3] uint8 at `frame` as it is shown; it was pushed just now."""
        return self._shown(self._keys[frame])

    def lose(self) -> None:
        """Tells that a unit is lost: nothing decodes until the next intra key picture."""
        self._pictures.lose()
        self._keys, self._last = {}, None

    def _picture(self, payload: bytes, unit: Unit) -> np.ndarray:
        try:
            return self._pictures.push(self._codec, payload)
        except KeyPictureError as error:
            raise BitstreamError(str(error), unit.offset) from error

    def _frames(self, group: FieldGroup, unit: Unit) -> Iterator[np.ndarray]:
        """Yields the frames [H, W, 3] uint8 of a group, as they were coded."""
        if not self._keys:
            raise BitstreamError("a field without a key picture before it", unit.offset)
        self._check_memory(len(self._keys) + len(group.pictures))
        for picture in group.pictures:
            self._keys[picture.frame] = self._picture(picture.payload, unit)
        shown = range(group.frame, group.frame + group.count)
        times = np.array([t for t in shown if t not in self._keys], int)
        last, self._last = self._last if group.predicted else None, None
        made: Iterator[np.ndarray] = iter(())
        if len(times):
            key_times = np.array(sorted(self._keys))
            form = FieldFormat(*grid_size(group.grid, *self.size), group.step)
            pictures = [self._keys[t] for t in key_times.tolist()]
            references = references_at(times, key_times, pictures)
            try:
                prediction = predicted_points(last, times, key_times[references.past], form)
                points, value = decode_fields(group.payload, references, form, prediction)
            except ValueError as error:
                raise BitstreamError(str(error), unit.offset) from error
            self._last = LastField(times[-1], key_times[references.past[-1]], points[-1])
            generator = self._network and self._network.generator
            made = rendered(references, points, value.modes, self._max_memory, generator, self._qp)
        for t in shown:
            yield self._shown(self._keys[t]) if t in self._keys else next(made)
        kept = max(t for t in self._keys if t < group.frame + group.count)
        self._keys = {t: picture for t, picture in self._keys.items() if t >= kept}

    def _shown(self, key: np.ndarray) -> np.ndarray:
        return key if self._network is None else self._network.key(key, self._qp)

    def _check_memory(self, pictures: int) -> None:
        """Raises where so many key pictures, which are held at once, take too much memory."""
        height, width = self.size
        what = f"{pictures} key pictures of {width}x{height} pixels at once take"
        check_memory(what, pictures * height * width * 3, self._max_memory)

    def _posed(self, first: int, frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Yields the frames with their edits, if there are any."""
        waiting: list[tuple[np.ndarray, tuple | None]] = []  # frames, and poses of edited ones
        edited = 0
        for number, frame in enumerate(frames, first):
            poses = self._poses.pop(number, None)
            if poses is not None and (poses[0] == poses[1]).all():
                poses = None
            waiting.append((frame, poses))
            edited += poses is not None
            if not edited or edited == _EDITED_TOGETHER or len(waiting) == _WAITING:
                yield from self._changed(waiting)
                waiting, edited = [], 0
        yield from self._changed(waiting)

    def _changed(self, frames: list[tuple[np.ndarray, tuple | None]]) -> Iterator[np.ndarray]:
        """Yields frames with the poses changed of those that are edited, all by one call."""
        edited = [(frame, *poses) for frame, poses in frames if poses is not None]
        made: Iterator[np.ndarray] = iter(())
        if edited:
            pictures, sent, wanted = (np.stack(part) for part in zip(*edited, strict=True))
            made = self._change_pose(pictures, sent, wanted)
        for frame, poses in frames:
            yield frame if poses is None else next(made)


@functools.cache
def _pose_changer(max_memory: int) -> Callable[..., Iterator[np.ndarray]]:
    """What yields frames [N, H, W, 3] uint8 in other poses: (frames, sent, wanted) -> iterator."""
    fitting = Fitting(_change_pose, _EDITED_TOGETHER, max_memory)

    def changed(frames: np.ndarray, sent: np.ndarray, wanted: np.ndarray) -> Iterator[np.ndarray]:
        height, width = frames.shape[1:3]
        inputs = frames, sent, wanted
        program, size = fitting.compiled(
            lambda count: tuple(padded(part[:count], count) for part in inputs),
            f"changing the pose in a frame of {width}x{height} pixels",
        )
        for start in range(0, len(frames), size):
            made = program(*(padded(part[start : start + size], size) for part in inputs))
            yield from np.asarray(made)[: len(frames) - start]

    return changed


def posed(frame: np.ndarray, sent: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """A frame [H, W, 3] uint8 with its body moved from the sent to the wanted vector [188]."""
    return np.asarray(_change_pose(frame[None], sent[None], wanted[None]))[0]
