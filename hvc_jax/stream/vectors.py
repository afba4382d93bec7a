"""Vectors to bytes: the encoder and decoder of the numbers that move the picture.

Every number is rounded to a level, an integer multiple of its step; levels are predicted from
earlier ones and the integer residuals are coded, so prediction is closed-loop by construction and
the reconstruction is `level * step`, the same float32 on every machine.

    vector -> levels -> residuals -> tokens, in contexts -> range coder -> bytes

A STATIC payload holds the vector that belongs to a key picture (all slots). A group holds the
vectors of consecutive frames, the key's own frame included: it holds still until someone edits the
stream. Imports no jax.
"""

import dataclasses
from typing import Any

import numpy as np

from hvc_jax.stream.choose import GroupChooser
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.levels import QUANTISER_ONE, Levels, with_static
from hvc_jax.stream.motion import MotionCoder
from hvc_jax.stream.slots import Schema
from hvc_jax.stream.static import decode_edit, decode_static, encode_static
from hvc_jax.stream.tables import CodingTables

__all__ = [
    "MAX_GROUP_FRAMES",
    "QUANTISER_ONE",
    "EncodedVectors",
    "Group",
    "VectorDecoder",
    "VectorEncoder",
    "decode_vectors",
    "encode_vectors",
]

MAX_GROUP_FRAMES = 4096


@dataclasses.dataclass(frozen=True)
class Group:
    """The coded vectors of consecutive frames: the payload of one MOTION unit."""

    frame: int  # number of the first frame
    count: int  # frames, 1 to 4096
    resync: bool  # whether it decodes without the group before it, by the STATIC unit alone
    payload: bytes


@dataclasses.dataclass(frozen=True)
class EncodedVectors:
    """The STATIC payload and the MOTION groups, and vectors [T, size] as the decoder has them."""

    static: bytes
    groups: list[Group]
    reconstructed: np.ndarray


class VectorEncoder:
    """Codes vectors as they arrive.

    Call `key` with the vector of a key picture, then `push` with the vector of every frame from the
    key frame's own on; `key` again, after `flush`, starts the next interval.
    """

    def __init__(
        self,
        schema: Schema,
        tables: CodingTables,
        quantiser: int = QUANTISER_ONE,
        group_frames: int = 128,
        resync_groups: int = 0,
        rate_weight: float = 0.0,
        importance: np.ndarray | None = None,
        search_width: int = 1,
    ) -> None:
        """Prepares an encoder.

        Args:
          schema: what is sent.
          tables: made for the same schema.
          quantiser: scales all steps by quantiser / 64.
          group_frames: frames a MOTION unit, 1 (lowest delay) to 4096.
          resync_groups: every so many groups one that decodes on its own; 0 = only at key frames.
          rate_weight: squared steps of error that saving a bit may cost; 0 rounds to the nearest.
          importance: [dynamic slots] what a squared step of error counts beside `rate_weight`, say
            squared pixels; None counts all alike, 1.
          search_width: see `GroupChooser`; the more, the fewer bits at equal error, and the slower.
        """
        if not 0 <= rate_weight < float("inf"):
            raise ValueError(f"rate_weight must be >= 0, got {rate_weight}")
        if not 1 <= group_frames <= MAX_GROUP_FRAMES:
            raise ValueError(f"group_frames must be 1 to {MAX_GROUP_FRAMES}, got {group_frames}")
        if resync_groups < 0:
            raise ValueError(f"resync_groups must be >= 0, got {resync_groups}")
        self._levels = Levels(_matching(schema, tables), quantiser)
        self._tables = tables
        self._coder = MotionCoder(tables, quantiser)
        self._chooser = None
        if rate_weight:
            self._chooser = GroupChooser(self._coder, tables, rate_weight, importance, search_width)
        self._group_frames = group_frames
        self._resync_groups = resync_groups
        self._frame = 0
        self._pending: list[np.ndarray] = []
        self._groups_since_resync = 0
        self._fresh = True
        self._key: np.ndarray | None = None

    def key(self, vector: np.ndarray, frame: int | None = None) -> tuple[bytes, np.ndarray]:
        """Returns the STATIC payload of a key frame and its vector [size] as decoded.

        `frame`: number of the key frame; default: the next frame to be pushed. Raises ValueError:
        when frames are pending or the vector is not finite.
        """
        if self._pending:
            raise ValueError("flush() the pending frames before a new key frame")
        levels = self._levels.of(vector)
        self._key = levels[: self._levels.dynamic]
        self._fresh = True
        if frame is not None:
            self._frame = frame
        static = encode_static(self._tables, self._levels.quantiser, levels)
        return static, self._levels.vectors(levels)

    def push(self, vector: np.ndarray) -> list[Group]:
        """Adds the vector [size] of the next frame; returns the groups that are complete.

        Raises ValueError: before the first `key`, or when the vector is not finite.
        """
        if self._key is None:
            raise ValueError("call key() before push()")
        self._pending.append(self._levels.in_steps(vector)[: self._levels.dynamic])
        return self.flush() if len(self._pending) >= self._group_frames else []

    def flush(self) -> list[Group]:
        """Returns the group of the pending frames, if there are any."""
        if not self._pending:
            return []
        due = self._resync_groups and self._groups_since_resync >= self._resync_groups
        resync = bool(self._fresh or due)
        self._groups_since_resync = 1 if resync else self._groups_since_resync + 1
        self._fresh = False
        values = np.stack(self._pending)
        levels = np.rint(values).astype(np.int64)
        if self._chooser is not None:
            if resync:
                self._coder.restart(self._key)
            levels = self._chooser.choose(values)
        group = self.group(self._frame, levels, resync)
        self._frame += group.count
        self._pending = []
        return [group]

    def resume(self, key_levels: np.ndarray) -> None:
        """Takes over after a key frame that was coded before, to recode the motion behind it.

        `key_levels`: [dynamic slots or more] int64, as `VectorDecoder.key_levels` returns them.
        """
        self._key = key_levels[: self._levels.dynamic]
        self._fresh = True

    def group(self, frame: int, levels: np.ndarray, resync: bool) -> Group:
        """Returns the group of dynamic `levels` [count, slots]; groups must come in order."""
        if self._key is None:
            raise ValueError("call key() or resume() before group()")
        if resync:
            self._coder.restart(self._key)
        return Group(frame, len(levels), resync, self._coder.encode(levels))


class VectorDecoder:
    """Reads vectors back, group by group; `static` [slots] int64: levels behind the last key."""

    def __init__(
        self, schema: Schema, tables: CodingTables, quantiser: int = QUANTISER_ONE
    ) -> None:
        """Prepares a decoder; the arguments are those of the encoder."""
        self._levels = Levels(_matching(schema, tables), quantiser)
        self._tables = tables
        self._coder = MotionCoder(tables, quantiser)
        self._key: np.ndarray | None = None
        self.static = np.zeros(0, np.int64)
        self._next_frame: int | None = None

    def key(self, static: bytes) -> np.ndarray:
        """Returns the vector [size] float32 of a STATIC payload; BitstreamError: it is damaged."""
        return self._levels.vectors(self.key_levels(static))

    def key_levels(self, static: bytes) -> np.ndarray:
        """Returns the levels [slots] int64 of a key picture; raises as `key`."""
        self._key = decode_static(self._tables, self._levels.quantiser, static)
        self.static = self._key[self._levels.dynamic :]
        self._next_frame = None
        return self._key

    def edit_static(self, payload: bytes) -> np.ndarray:
        """Returns the vector [size] float32 of a key picture with other static numbers.

        From here to the next key, frames have those of the EDIT_STATIC payload.
        Raises BitstreamError: when the payload is damaged, or no key is before it.
        """
        if self._key is None:
            raise BitstreamError("an edit of static numbers comes before any static unit")
        dynamic = self._levels.dynamic
        self.static = decode_edit(self._key[dynamic:], payload)
        return self.to_vectors(self._key[None, :dynamic])[0]

    def motion(self, group: Group) -> np.ndarray:
        """Returns the vectors [count, size] float32 of a group.

        Raises BitstreamError: when the payload is damaged, or when the group needs one before it
        that was not decoded.
        """
        return self.to_vectors(self.motion_levels(group))

    def motion_levels(self, group: Group) -> np.ndarray:
        """Returns the levels [count, dynamic slots] int64 of a group; raises as `motion`."""
        if self._key is None:
            raise BitstreamError("motion comes before any static unit")
        if not 1 <= group.count <= MAX_GROUP_FRAMES:
            raise BitstreamError(f"a motion group of {group.count} frames is not allowed")
        if group.resync:
            self._coder.restart(self._key[: self._levels.dynamic])
        elif group.frame != self._next_frame:
            raise BitstreamError(
                f"motion of frame {group.frame} continues frame {group.frame - 1}, which is missing"
            )
        # Until the group is whole there is nothing that a next one could continue.
        self._next_frame = None
        levels = self._coder.decode(group.payload, group.count)
        self._next_frame = group.frame + group.count
        return levels

    def to_vectors(self, levels: np.ndarray) -> np.ndarray:
        """Returns the vectors [count, size] float32 of dynamic `levels` [count, dynamic slots]."""
        return self._levels.vectors(with_static(levels, self.static))


def encode_vectors(
    schema: Schema,
    tables: CodingTables,
    vectors: np.ndarray,
    *,
    quantiser: int = QUANTISER_ONE,
    **options: Any,
) -> EncodedVectors:
    """Returns vectors [T, size], the first that of the key picture, coded; see `VectorEncoder`."""
    encoder = VectorEncoder(schema, tables, quantiser, **options)
    static, _ = encoder.key(vectors[0])
    groups = [group for vector in vectors for group in encoder.push(vector)] + encoder.flush()
    decoded = decode_vectors(schema, tables, static, groups, quantiser=quantiser)
    return EncodedVectors(static, groups, decoded)


def decode_vectors(
    schema: Schema,
    tables: CodingTables,
    static: bytes,
    groups: list[Group],
    *,
    quantiser: int = QUANTISER_ONE,
) -> np.ndarray:
    """Returns the vectors [T, size] float32 of a key interval; BitstreamError: damaged."""
    decoder = VectorDecoder(schema, tables, quantiser)
    decoder.key(static)
    parts = [decoder.motion(group) for group in groups]
    return np.concatenate(parts) if parts else np.zeros((0, schema.size), np.float32)


def _matching(schema: Schema, tables: CodingTables) -> Schema:
    """Returns `schema`; the tables must have been made for its slots (steps may differ)."""
    theirs = [slot.name for slot in tables.schema.slots]
    if theirs != [slot.name for slot in schema.slots]:
        raise ValueError(
            f"the coding tables are for schema {tables.schema.name!r}, not {schema.name!r}; "
            "open the model that made the stream"
        )
    return schema
