"""Vectors to symbols to bytes: the encoder and decoder of the numbers that move the picture.

Every number is first rounded to a level, an integer multiple of its step. Levels are predicted from
earlier levels and the integer residuals are coded, so prediction is closed-loop by construction and
the reconstruction is `level * step`, the same float32 on every machine.

    vector -> levels -> residual to prediction -> tokens, in contexts -> range coder -> bytes

A STATIC payload holds the vector that belongs to a key picture (all slots). A group holds the
vectors of consecutive frames, the key's own frame included: its residual is zero until someone
edits the stream. Imports no jax.
"""

import dataclasses

import numpy as np

from hvc_jax.bitstream.errors import BitstreamError
from hvc_jax.bitstream.header import MAX_QUANTISER
from hvc_jax.bitstream.schema import Schema
from hvc_jax.entropy.adaptive import ContextModel
from hvc_jax.entropy.coder import SymbolDecoder, SymbolEncoder
from hvc_jax.entropy.tables import CodingTables
from hvc_jax.entropy.tokens import EXTRA_BITS, FIRST_WITH_BITS, from_tokens, to_tokens

QUANTISER_ONE = 64
"""Header quantiser at which steps are those of the schema; steps scale with quantiser / 64."""


MAX_GROUP_FRAMES = 4096
_MAX_LEVEL = (1 << 31) - 1


@dataclasses.dataclass(frozen=True)
class Group:
    """The coded vectors of consecutive frames: the payload of one MOTION unit.

    Attributes:
      frame: number of the first frame.
      count: number of frames, 1 to 4096.
      resync: whether it decodes without the group before it (only the STATIC unit is needed).
      payload: the bytes.
    """

    frame: int
    count: int
    resync: bool
    payload: bytes


@dataclasses.dataclass(frozen=True)
class EncodedVectors:
    """What `encode_vectors` returns.

    Attributes:
      static: payload of the STATIC unit.
      groups: the MOTION groups in order.
      reconstructed: [T, size] float32, exactly what `decode_vectors` returns.
    """

    static: bytes
    groups: list[Group]
    reconstructed: np.ndarray


class VectorEncoder:
    """Codes vectors as they arrive.

    Call `key` with the vector of a key picture, then `push` with the vector of every frame from the
    key frame's own on; `key` again starts the next interval.
    """

    def __init__(
        self,
        schema: Schema,
        tables: CodingTables,
        quantiser: int = QUANTISER_ONE,
        group_frames: int = 128,
        resync_groups: int = 0,
    ) -> None:
        """Prepares an encoder.

        Args:
          schema: what is sent.
          tables: made for the same schema.
          quantiser: scales all steps by quantiser / 64.
          group_frames: frames a MOTION unit, 1 (lowest delay) to 4096.
          resync_groups: every so many groups one that decodes on its own; 0 = only at key frames.
        """
        if not 1 <= group_frames <= MAX_GROUP_FRAMES:
            raise ValueError(f"group_frames must be 1 to {MAX_GROUP_FRAMES}, got {group_frames}")
        self._codec = _Codec(schema, tables, quantiser)
        self._group_frames = group_frames
        self._resync_groups = resync_groups
        self._frame = 0
        self._pending: list[np.ndarray] = []
        self._groups_since_resync = 0
        self._fresh = True
        self._model: _MotionModel | None = None

    def key(self, vector: np.ndarray, frame: int | None = None) -> tuple[bytes, np.ndarray]:
        """Returns the STATIC payload of a key frame and its vector [size] as decoded.

        Call `flush` before it when frames of the previous interval may be pending.

        Args:
          vector: [size] vector of the key picture.
          frame: number of the key frame; default: the next frame to be pushed.

        Raises:
          ValueError: when frames are pending or the vector is not finite.
        """
        if self._pending:
            raise ValueError("flush() the pending frames before a new key frame")
        codec = self._codec
        levels = codec.levels(codec.all_slots, vector)
        self._model = _MotionModel(codec, levels[: len(codec.dynamic)])
        self._fresh = True
        if frame is not None:
            self._frame = frame
        return codec.encode_static(levels), codec.vector(levels)

    def push(self, vector: np.ndarray) -> list[Group]:
        """Adds the vector [size] of the next frame; returns the groups that are complete."""
        if self._model is None:
            raise ValueError("call key() before push()")
        self._pending.append(self._codec.levels(self._codec.dynamic, vector))
        return self.flush() if len(self._pending) >= self._group_frames else []

    def flush(self) -> list[Group]:
        """Returns the group of the pending frames, if there are any."""
        if not self._pending:
            return []
        due = self._resync_groups and self._groups_since_resync >= self._resync_groups
        resync = bool(self._fresh or due)
        if resync:
            self._groups_since_resync = 0
        self._groups_since_resync += 1
        self._fresh = False
        group = self.group(self._frame, np.stack(self._pending), resync)
        self._frame += group.count
        self._pending = []
        return [group]

    def resume(self, static: bytes) -> None:
        """Takes over after a STATIC payload that was coded before, to recode the motion behind it.

        Raises:
          BitstreamError: when the payload is damaged.
        """
        levels = self._codec.decode_static(static)
        self._model = _MotionModel(self._codec, levels[: len(self._codec.dynamic)])

    def group(self, frame: int, levels: np.ndarray, resync: bool) -> Group:
        """Returns the group of dynamic `levels` [count, slots]; groups must come in order."""
        if resync:
            self._model.restart()
        return Group(frame, len(levels), resync, self._model.encode(levels))


class VectorDecoder:
    """Reads vectors back, group by group; the mirror image of `VectorEncoder`."""

    def __init__(
        self, schema: Schema, tables: CodingTables, quantiser: int = QUANTISER_ONE
    ) -> None:
        self._codec = _Codec(schema, tables, quantiser)
        self._model: _MotionModel | None = None
        self._next_frame: int | None = None

    def key(self, static: bytes) -> np.ndarray:
        """Returns the vector [size] float32 of a key picture from its STATIC payload.

        Raises:
          BitstreamError: when the payload is damaged.
        """
        codec = self._codec
        levels = codec.decode_static(static)
        self._static_levels = levels[len(codec.dynamic) :]
        self._model = _MotionModel(codec, levels[: len(codec.dynamic)])
        self._next_frame = None
        return codec.vector(levels)

    def motion(self, group: Group) -> np.ndarray:
        """Returns the vectors [count, size] float32 of a group.

        Raises:
          BitstreamError: when the payload is damaged, or when the group needs one before it that
            was not decoded.
        """
        return self.to_vectors(self.motion_levels(group))

    def motion_levels(self, group: Group) -> np.ndarray:
        """Returns the levels [count, dynamic slots] int64 of a group; raises as `motion`."""
        if self._model is None:
            raise BitstreamError("motion comes before any static unit")
        if not 1 <= group.count <= MAX_GROUP_FRAMES:
            raise BitstreamError(f"a motion group of {group.count} frames is not allowed")
        if group.resync:
            self._model.restart()
        elif group.frame != self._next_frame:
            raise BitstreamError(
                f"motion of frame {group.frame} continues frame {group.frame - 1}, which is missing"
            )
        levels = self._model.decode(group.payload, group.count)
        self._next_frame = group.frame + group.count
        return levels

    def to_vectors(self, levels: np.ndarray) -> np.ndarray:
        """Returns the vectors [count, size] float32 of dynamic `levels` [count, dynamic slots]."""
        static = np.broadcast_to(self._static_levels, (len(levels), len(self._static_levels)))
        return self._codec.vector(np.concatenate([levels, static], axis=1))


def encode_vectors(
    schema: Schema,
    tables: CodingTables,
    vectors: np.ndarray,
    *,
    quantiser: int = QUANTISER_ONE,
    group_frames: int = 128,
    resync_groups: int = 0,
) -> EncodedVectors:
    """Returns the coded form of `vectors` [T, size] whose first is that of the key picture.

    Args are those of `VectorEncoder`.
    """
    encoder = VectorEncoder(schema, tables, quantiser, group_frames, resync_groups)
    static, _ = encoder.key(vectors[0])
    groups = [group for vector in vectors for group in encoder.push(vector)] + encoder.flush()
    return EncodedVectors(
        static, groups, decode_vectors(schema, tables, static, groups, quantiser=quantiser)
    )


def decode_vectors(
    schema: Schema,
    tables: CodingTables,
    static: bytes,
    groups: list[Group],
    *,
    quantiser: int = QUANTISER_ONE,
) -> np.ndarray:
    """Returns the vectors [T, size] float32 of one key interval.

    Raises:
      BitstreamError: when a payload is damaged.
    """
    decoder = VectorDecoder(schema, tables, quantiser)
    decoder.key(static)
    parts = [decoder.motion(group) for group in groups]
    return np.concatenate(parts) if parts else np.zeros((0, schema.size), np.float32)


class _Codec:
    """Levels of a schema's slots, and the coding of a key frame's."""

    def __init__(self, schema: Schema, tables: CodingTables, quantiser: int) -> None:
        if not 1 <= quantiser <= MAX_QUANTISER:
            raise ValueError(f"quantiser must be 1 to {MAX_QUANTISER}, got {quantiser}")
        self.schema = schema
        self.tables = tables
        slots = schema.slots
        self.all_slots = np.array([s.index for s in slots], int)
        self.dynamic = self.all_slots[: len(schema.dynamic)]
        # Doubles: level * step is then exact to far below float32's rounding.
        self._steps = np.zeros(schema.size)
        self._steps[self.all_slots] = [s.step * quantiser / QUANTISER_ONE for s in slots]

    def levels(self, indices: np.ndarray, vector: np.ndarray) -> np.ndarray:
        """Returns int64 levels of the entries `indices` of `vector`."""
        vector = np.asarray(vector)
        if vector.shape != (self.schema.size,):
            raise ValueError(
                f"schema {self.schema.name} needs vectors of {self.schema.size} numbers, "
                f"got shape {vector.shape}"
            )
        values = vector[indices].astype(np.float64) / self._steps[indices]
        if not np.isfinite(values).all():
            raise ValueError("a vector to be coded holds a value that is not finite")
        return np.clip(np.rint(values), -_MAX_LEVEL, _MAX_LEVEL).astype(np.int64)

    def vector(self, levels: np.ndarray) -> np.ndarray:
        """Returns float32 vectors [*, size] of `levels` [*, slots]."""
        out = np.zeros((*levels.shape[:-1], self.schema.size), np.float32)
        out[..., self.all_slots] = levels * self._steps[self.all_slots]
        return out

    def encode_static(self, levels: np.ndarray) -> bytes:
        model = ContextModel(self.tables, 1)
        encoder = SymbolEncoder()
        for level in levels:
            _put(encoder, model, level[None])
        return encoder.finish()

    def decode_static(self, payload: bytes) -> np.ndarray:
        model = ContextModel(self.tables, 1)
        decoder = SymbolDecoder(payload)
        levels = [_take(decoder, model) for _ in self.all_slots]
        return _checked(np.concatenate(levels) if levels else np.zeros(0, np.int64))


class _MotionModel:
    """Prediction and contexts of the dynamic levels; the same object drives both directions."""

    def __init__(self, codec: _Codec, key_levels: np.ndarray) -> None:
        self._codec = codec
        self._key = key_levels
        velocity = [slot.predictor == "velocity" for slot in codec.schema.dynamic]
        self._velocity = np.array(velocity, bool)
        self.restart()

    def restart(self) -> None:
        self._last = self._before = self._key
        self._contexts = ContextModel(self._codec.tables, len(self._key))

    def _predict(self) -> np.ndarray:
        step = (self._last - self._before) * self._velocity
        return np.clip(self._last + (step >> 1), -_MAX_LEVEL, _MAX_LEVEL)

    def _advance(self, levels: np.ndarray) -> None:
        self._before, self._last = self._last, levels

    def encode(self, levels: np.ndarray) -> bytes:
        encoder = SymbolEncoder()
        for row in levels:
            _put(encoder, self._contexts, row - self._predict())
            self._advance(row)
        return encoder.finish()

    def decode(self, payload: bytes, count: int) -> np.ndarray:
        decoder = SymbolDecoder(payload)
        levels = np.zeros((count, len(self._key)), np.int64)
        for row in levels:
            row[:] = _checked(self._predict() + _take(decoder, self._contexts))
            self._advance(row)
        return levels


def _put(encoder: SymbolEncoder, model: ContextModel, residuals: np.ndarray) -> None:
    tokens, extra = to_tokens(residuals)
    encoder.symbols(tokens, model.frequencies())
    for i in np.flatnonzero(tokens >= FIRST_WITH_BITS):
        encoder.bits(int(extra[i]), EXTRA_BITS[tokens[i]])
    model.update(residuals)


def _take(decoder: SymbolDecoder, model: ContextModel) -> np.ndarray:
    try:
        tokens = decoder.symbols(model.frequencies())
        extra = np.zeros(len(tokens), np.int64)
        for i in np.flatnonzero(tokens >= FIRST_WITH_BITS):
            extra[i] = decoder.bits(EXTRA_BITS[tokens[i]])
    except ValueError as error:
        raise BitstreamError(str(error)) from error
    residuals = from_tokens(tokens, extra)
    model.update(residuals)
    return residuals


def _checked(levels: np.ndarray) -> np.ndarray:
    if levels.size and np.abs(levels).max() > _MAX_LEVEL:
        raise BitstreamError("a decoded value leaves the 32-bit range")
    return levels
