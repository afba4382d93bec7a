"""Small streams that several tests use, made of integers, and a reader of damaged ones."""

import io
from fractions import Fraction

import numpy as np

from hvc_jax.stream.conceal import ConcealingDecoder, frames_and_keys, salvage
from hvc_jax.stream.container import StreamWriter
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.header import Header
from hvc_jax.stream.schema import builtin_schema
from hvc_jax.stream.slots import Schema
from hvc_jax.stream.sound import AudioGroup
from hvc_jax.stream.tables import default_tables
from hvc_jax.stream.tracks import stream_tables
from hvc_jax.stream.units import UnitType, motion_group
from hvc_jax.stream.vectors import VectorDecoder, VectorEncoder

KEY_PAYLOAD = bytes(range(40))


def waving(schema: Schema, frames: int) -> np.ndarray:
    """Vectors [frames, size] float32 in which slot i moves back and forth with period 16 + i."""
    levels = np.zeros((frames, len(schema.slots)), np.int64)
    for i in range(len(schema.dynamic)):
        at = (np.arange(frames) + 3 * i) % (16 + i)
        levels[:, i] = np.minimum(at, 16 + i - at) * (i % 4) // 2 - i % 3
    levels[:, len(schema.dynamic) :] = np.arange(len(schema.static)) % 7 // 6
    vectors = np.zeros((frames, schema.size), np.float32)
    for i, slot in enumerate(schema.slots):
        vectors[:, slot.index] = levels[:, i] * slot.step
    return vectors


class MadeUpSound:
    """A `SoundSource` of packets that no Opus decoder knows; two of a hundred are missing."""

    written = 0

    def __init__(self) -> None:
        packets = tuple(bytes(i % 251 for i in range(k, 2 * k + 1)) for k in range(100))
        self._groups = [
            AudioGroup(0, 2, 312),
            AudioGroup(0, 2, 312, packets[:49]),
            AudioGroup(51, 2, 312, packets[51:]),
        ]

    def groups(self, seconds: Fraction | None = None) -> list[AudioGroup]:
        """One group at a time, the rest at the end."""
        count = 1 if seconds is None else len(self._groups)
        due, self._groups = self._groups[:count], self._groups[count:]
        return due


def stream(
    schema_name: str = "upper31",
    frames: int = 12,
    keys: tuple[int, ...] = (0,),
    group_frames: int = 5,
    resync_groups: int = 0,
    count_known: bool = True,
    meta: dict | None = None,
    sound: bool = False,
) -> bytes:
    """A whole stream over the default tables, with made-up key pictures and packets of sound."""
    schema = builtin_schema(schema_name)
    vectors = waving(schema, frames)
    encoder = VectorEncoder(
        schema, default_tables(schema), group_frames=group_frames, resync_groups=resync_groups
    )
    file = io.BytesIO()
    count = frames if count_known else None
    header = Header("semantic", 64, 48, Fraction(30000, 1001), count, schema=schema_name)
    with StreamWriter(file, header, MadeUpSound() if sound else None) as writer:
        for frame, vector in enumerate(vectors):
            if frame in keys:
                for group in encoder.flush():
                    writer.write_motion(group)
                static, _ = encoder.key(vector)
                writer.write_key(frame, 1, 32, KEY_PAYLOAD + bytes([frame]))
                writer.write_static(frame, static)
            for group in encoder.push(vector):
                writer.write_motion(group)
        for group in encoder.flush():
            writer.write_motion(group)
        if meta is not None:
            writer.write_meta(meta)
    return file.getvalue()


def repair(data: bytes) -> None:
    """Goes through a damaged stream as `hvc decode --conceal` does, without drawing."""
    header, found = salvage(io.BytesIO(data))
    tables, units = stream_tables(header), list(found)
    count, keys = frames_and_keys(header, units)
    decoder = ConcealingDecoder(VectorDecoder(tables.schema, tables, header.quantiser), count, keys)
    for unit in units:
        try:
            if unit.type == UnitType.STATIC:
                decoder.key(unit.payload, unit.frame)
            elif unit.type == UnitType.EDIT_STATIC:
                decoder.edit_static(unit.payload, unit.frame)
            elif unit.type == UnitType.MOTION:
                group = motion_group(unit)
                while len(decoder.hold_until(group.frame)):
                    pass
                decoder.motion(group)
        except BitstreamError:
            pass
