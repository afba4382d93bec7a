"""The encoder of variants with a displacement field: push frames, then close."""

from collections.abc import Callable, Iterable
from itertools import islice

import numpy as np

from hvc_jax.body.params import BODY_VECTOR_SIZE
from hvc_jax.codec.options import CodecError, EncodeOptions
from hvc_jax.codec.rate import RateControl
from hvc_jax.codec.segment import CodedSegment
from hvc_jax.data.cuts import CutDetector
from hvc_jax.models.export import Export
from hvc_jax.pose.confidence import DOUBT
from hvc_jax.stream.container import StreamWriter
from hvc_jax.stream.header import Header
from hvc_jax.stream.vectors import VectorEncoder

LONGEST_SEGMENT = 256
"""Frames from one intra key picture to the next, at most."""

_SEGMENT_BYTES = 1 << 28
"""Of the frames of a segment, which are all held at once."""


class FieldEncoder:
    """Codes the frames of one clip.

    Attributes:
      confidence: In the body of every frame, where bodies go along; 1 elsewhere.
    """

    def __init__(
        self,
        writer: StreamWriter,
        header: Header,
        options: EncodeOptions,
        export: Export | None,
        find_bodies: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] | None,
        bodies: Iterable[np.ndarray] | None,
    ) -> None:
        self._writer, self._options = writer, options
        self._longest = segment_frames(header.height, header.width, options.key_every)
        self._find, self._bodies = find_bodies, None if bodies is None else iter(bodies)
        self._rate = RateControl(options, header)
        self._cuts, self._waiting, self._first = CutDetector(), [], 0
        self._vectors = None if export is None else self._vector_encoder(export)
        self.confidence: list[float] = []

    def push(self, frame: np.ndarray) -> None:
        """Takes the next frame [H, W, 3] uint8."""
        cut = self._cuts.push(frame) and self._options.cuts
        if self._waiting and (cut or len(self._waiting) == self._longest):
            self._write()
        self._waiting.append(frame)

    def close(self) -> None:
        """Writes what waits."""
        if self._waiting:
            self._write()

    def _write(self) -> None:
        frames = np.stack(self._waiting)
        motion = None
        if self._vectors is None:
            self.confidence += [1.0] * len(frames)
        else:
            motion = self._motion(frames)
        spent = sum(len(part) for part in motion[1:]) if motion else 0
        coded = self._rate.code(frames, spent)
        self._write_segment(coded, motion)
        self._first += len(frames)
        self._waiting = []

    def _write_segment(self, coded: CodedSegment, motion: tuple | None) -> None:
        first, keys = self._first, coded.keys
        self._writer.write_key(first, keys.codec, coded.key_qp, keys.payloads[0])
        if motion is not None:
            groups, static, *_ = motion
            self._writer.write_static(first, static)
            for group in groups:
                self._writer.write_motion(group)
        for group in coded.shifted(first):
            self._writer.write_field(group)

    def _motion(self, frames: np.ndarray) -> tuple:
        """Groups, STATIC payload and MOTION payloads of the bodies of a segment."""
        if self._bodies is not None:
            vectors = np.array(list(islice(self._bodies, len(frames))), np.float32)
            if vectors.shape != (len(frames), BODY_VECTOR_SIZE):
                raise CodecError(
                    f"the body vectors are not {BODY_VECTOR_SIZE} numbers for every frame; "
                    "estimate them again for this clip"
                )
            confidence = np.ones(len(frames))
        else:
            vectors, confidence = self._find(frames)
        self.confidence += confidence.tolist()
        vectors = held_where_doubtful(vectors, confidence >= DOUBT)
        static, _ = self._vectors.key(vectors[0], self._first)
        groups = [g for v in vectors for g in self._vectors.push(v)] + self._vectors.flush()
        return groups, static, *(g.payload for g in groups)

    def _vector_encoder(self, export: Export) -> VectorEncoder:
        options, tables = self._options, export.tables
        return VectorEncoder(
            tables.schema,
            tables,
            options.quantiser,
            group_frames=options.group_frames,
            resync_groups=options.resync_groups,
            rate_weight=options.rate_weight,
        )


def held_where_doubtful(vectors: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Body vectors [T, 188] with those of doubtful frames replaced by the sure one before them.

    Args:
      vectors: [T, 188].
      sure: [T] bool; the first sure one stands for those before it. Without any all are the first.
    """
    if not sure.any():
        return np.repeat(vectors[:1], len(vectors), 0)
    at = np.where(sure, np.arange(len(vectors)), -1)
    at = np.maximum.accumulate(at)
    return vectors[np.where(at < 0, int(np.argmax(sure)), at)]


def segment_frames(height: int, width: int, key_every: int) -> int:
    """Frames of a segment, at most: `key_every` where given, and what fits into memory."""
    fits = max(8, _SEGMENT_BYTES // (height * width * 3))
    return min(key_every or LONGEST_SEGMENT, LONGEST_SEGMENT, fits)
