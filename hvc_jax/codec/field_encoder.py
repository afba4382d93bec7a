"""The encoder of variants with a displacement field: push frames, then close."""

import contextlib
from collections.abc import Callable, Iterable

import numpy as np

from hvc_jax.codec.low_delay import LowDelaySegment
from hvc_jax.codec.memory import DEFAULT_MAX_MEMORY, check_memory
from hvc_jax.codec.options import EncodeOptions
from hvc_jax.codec.rate import RateControl
from hvc_jax.codec.scenes import given_bodies
from hvc_jax.codec.segment import shifted
from hvc_jax.data.cuts import CutDetector, alike
from hvc_jax.keyframes.picture import KeyPictureError
from hvc_jax.pose.confidence import DOUBT
from hvc_jax.stream.container import StreamWriter
from hvc_jax.stream.header import Header
from hvc_jax.stream.tables import CodingTables
from hvc_jax.stream.vectors import Group, VectorEncoder

FLASH_FRAMES = 4
"""Frames after which a picture that was there before is a scene of its own, and no flash."""
LONGEST_SEGMENT = 256
"""Frames from one intra key picture to the next, at most."""

SEARCH_BYTES = 64
"""Of memory that the search takes for a byte of a segment's frames, which are all held at once:
55 from 32 to 250 frames of 128x128 at effort 0, compiling included."""


class FieldEncoder:
    """Codes the frames of one clip; `confidence` in the body of each, 1 without bodies."""

    def __init__(
        self,
        writer: StreamWriter,
        header: Header,
        options: EncodeOptions,
        tables: CodingTables | None,
        find_bodies: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] | None,
        bodies: Iterable[np.ndarray] | None,
        max_memory: int = DEFAULT_MAX_MEMORY,
    ) -> None:
        self._writer, self._options = writer, options
        # Without delay no frames are held.
        most = None if options.lookahead == 0 else max_memory
        self._longest = segment_frames(header.height, header.width, options.key_every, most)
        self._find, self._bodies = find_bodies, None if bodies is None else iter(bodies)
        self._rate = RateControl(options, header)
        self._cuts, self._waiting, self._first = CutDetector(), [], 0
        # Of frames that wait: where a flash begins and ends; where a cut is, unless it is a flash.
        self._edges: list[int] = []
        self._open: list[int] = []
        self._live: LowDelaySegment | None = None
        self._sure: np.ndarray | None = None  # the last body that was trusted
        self._vectors = None if tables is None else self._vector_encoder(tables)
        self.confidence: list[float] = []

    def push(self, frame: np.ndarray) -> None:
        """Takes the next frame [H, W, 3] uint8."""
        cut = self._cuts.push(frame) and self._options.cuts
        if self._options.lookahead == 0:
            self._write_at_once(frame, cut)
            return
        count = len(self._waiting)
        if cut and self._open and alike(frame, self._waiting[self._open[0] - 1]):
            self._edges += [*self._open, count]
            self._open = []
        elif cut and count:
            self._open.append(count)
        if self._open and (count - self._open[0] >= FLASH_FRAMES or count == self._longest):
            self._end_scenes()
        if len(self._waiting) == self._longest:
            self._write(self._longest)
        self._waiting.append(frame)

    def close(self) -> None:
        """Writes what waits."""
        self._end_scenes()
        if self._waiting:
            self._write(len(self._waiting))

    def _end_scenes(self) -> None:
        """Writes the scenes before cuts that are no flashes."""
        written = 0
        for cut in self._open:
            self._write(cut - written)
            written = cut
        self._open = []

    def _write_at_once(self, frame: np.ndarray, cut: bool) -> None:
        """Codes and writes a frame of a stream without delay."""
        groups, vectors = [], self._found(frame[None])
        if self._live is not None and not cut and self._live.count < self._longest:
            # Where the sequence of key pictures cannot go on, another one begins.
            with contextlib.suppress(KeyPictureError):
                groups = [self._live.push(frame)[0]]
        if not groups:
            self._first += self._live.count if self._live else 0
            options = self._options
            self._live = LowDelaySegment(
                frame, self._rate.quality, options.key_codec, options.effort, options.key_spacing
            )
            key = self._live.key
            self._writer.write_key(self._first, key.codec, self._rate.quality.key_qp, key.payload)
            if self._vectors is not None:
                self._writer.write_static(*self._static(vectors))
            groups = [self._live.first()]
        for group in self._groups(vectors):
            self._writer.write_motion(group)
        for group in groups:
            self._writer.write_field(shifted(group, self._first))

    def _write(self, count: int) -> None:
        """Codes and writes the first of the frames that wait, a segment."""
        frames = np.stack(self._waiting[:count])
        vectors = self._found(frames)
        static, motion = b"", []
        if vectors is not None:
            static, motion = self._static(vectors)[1], self._groups(vectors)
        spent = len(static) + sum(len(group.payload) for group in motion)
        coded = self._rate.code(frames, spent, self._edges)
        self._writer.write_key(self._first, coded.keys.codec, coded.key_qp, coded.keys.payloads[0])
        if vectors is not None:
            self._writer.write_static(self._first, static)
        for group in motion:
            self._writer.write_motion(group)
        for group in coded.groups:
            self._writer.write_field(shifted(group, self._first))
        self._first += count
        self._waiting, self._edges = self._waiting[count:], []

    def _found(self, frames: np.ndarray) -> np.ndarray | None:
        """Body vectors [T, 188] of the next frames, None where none are sent."""
        if self._vectors is None:
            self.confidence += [1.0] * len(frames)
            return None
        if self._bodies is not None:
            vectors = given_bodies(self._bodies, len(frames))
            confidence = np.ones(len(frames))
        else:
            vectors, confidence = self._find(frames)
        self.confidence += confidence.tolist()
        vectors, self._sure = held_where_doubtful(vectors, confidence >= DOUBT, self._sure)
        return vectors

    def _static(self, vectors: np.ndarray) -> tuple[int, bytes]:
        """The first frame of a segment and the STATIC payload of its body."""
        return self._first, self._vectors.key(vectors[0], self._first)[0]

    def _groups(self, vectors: np.ndarray | None) -> list[Group]:
        """Groups of the bodies of the next frames, all that are due."""
        if vectors is None:
            return []
        return [g for v in vectors for g in self._vectors.push(v)] + self._vectors.flush()

    def _vector_encoder(self, tables: CodingTables) -> VectorEncoder:
        options = self._options
        return VectorEncoder(
            tables.schema,
            tables,
            options.quantiser,
            group_frames=1 if options.lookahead == 0 else options.group_frames,
            resync_groups=options.resync_groups,
            rate_weight=options.rate_weight,
        )


def held_where_doubtful(
    vectors: np.ndarray, sure: np.ndarray, before: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Body vectors [T, 188] with those of doubtful frames replaced by the sure one before them.

    Args:
      vectors: [T, 188].
      sure: [T] bool.
      before: [188], the last sure one before these frames. Without it the first sure one stands for
        those before it, and without any all are the first.

    Returns the vectors, and the last sure one up to the end, None where there was none yet.
    """
    if before is None and not sure.any():
        return np.repeat(vectors[:1], len(vectors), 0), None
    known = np.concatenate([vectors[:1] if before is None else before[None], vectors])
    if before is None:
        known[0] = vectors[np.argmax(sure)]
    at = np.maximum.accumulate(np.where(sure, np.arange(1, len(known)), 0))
    held = known[at]
    return held, held[-1]


def segment_frames(height: int, width: int, key_every: int, max_memory: int | None) -> int:
    """Frames of a segment, at most: `key_every`, or what fits; CodecError: not even two do."""
    longest = min(key_every or LONGEST_SEGMENT, LONGEST_SEGMENT)
    if max_memory is None:
        return longest
    frame = height * width * 3 * SEARCH_BYTES
    what = f"coding two frames of {width}x{height} pixels takes about"
    check_memory(what, 2 * frame, max_memory)
    return min(longest, max_memory // frame)
