"""The encoder of variants that send a latent a frame: push frames, then close.

frames ─► analyse ─► latents ─► VectorEncoder ─► STATIC, MOTION units ┐
  │         ▲                                                         │
  └─ key frame ─► VVC or AV1 intra ─────────────► KEY unit ───────────┴─► stream
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from hvc_jax import keyframes
from hvc_jax.body.params import BODY_VECTOR_SIZE
from hvc_jax.codec import polish
from hvc_jax.codec.hold import better_held
from hvc_jax.codec.importance import mesh_importance
from hvc_jax.codec.networks import Networks
from hvc_jax.codec.options import LATENT_KEY_QP, EncodeOptions
from hvc_jax.codec.scenes import given_bodies, lasting
from hvc_jax.data.cuts import CutDetector
from hvc_jax.pose.confidence import DOUBT
from hvc_jax.stream.container import StreamWriter
from hvc_jax.stream.levels import Levels, with_static
from hvc_jax.stream.vectors import VectorEncoder

_SEARCH_WIDTHS = (1, 4, 4, 8)  # histories of every number that the encoder keeps, by effort
_COMPARED = 32  # frames that are drawn at once to see whether motion makes them better
_CHUNK = 128  # frames that are looked at at once; the body estimate is smoothed inside a chunk

BodyFinder = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Pictures [T, H, W, 3] uint8 -> body vectors [T, 188] and confidence [T]."""


class Analysed(NamedTuple):
    """A frame and what the encoder knows of the person.

    Attributes:
      frame: [H, W, 3] uint8.
      body: [188] body vector.
      confidence: in the body, in [0, 1].
      person: whether a person is surely seen from here on for a while.
    """

    frame: np.ndarray
    body: np.ndarray
    confidence: float
    person: bool


class _Key(NamedTuple):
    """A key frame: coded picture [H, W, 3] uint8, its latent [D] and that as decoded, features."""

    picture: np.ndarray
    latent: np.ndarray
    decoded: np.ndarray
    features: Any
    polish: polish.PolishKey | None  # where latents are polished
    confidence: float  # in the body of the latent


class LatentEncoder:
    """Codes the frames of one clip.

    Attributes:
      count: Frames that were pushed.
    """

    def __init__(
        self,
        networks: Networks,
        writer: StreamWriter,
        options: EncodeOptions,
        encode_key: Callable[..., keyframes.KeyPicture],
    ) -> None:
        self._networks, self._writer, self._options = networks, writer, options
        self._encode_key = encode_key
        self._cuts, self._vectors = CutDetector(), None
        self._levels = Levels(networks.export.tables.schema, options.quantiser)
        self._key: _Key | None = None
        self._waiting: list[Analysed] = []  # frames of this key
        self._starts = False  # whether the first of them is the key frame
        self._last: np.ndarray | None = None  # the latent before those that wait
        self.count = 0

    def push(self, item: Analysed) -> None:
        """Takes the next frame."""
        options, key = self._options, self._key
        due = options.key_every and self.count % options.key_every == 0
        # A key picture of nobody cannot move; where somebody appears, another is due.
        late = key is not None and key.confidence < DOUBT and item.person and options.cuts
        cut = self._cuts.push(item.frame) and options.cuts
        if self.count == 0 or due or cut or late:
            self._write_motion()
            if self._vectors is not None:
                self._write_groups(self._vectors.flush())
            self._key = self._write_key(item)
            self._last = self._key.latent
            self._starts = True
        self._waiting.append(item)
        if len(self._waiting) == min(options.group_frames, _COMPARED):
            self._write_motion()
        self.count += 1

    def close(self) -> None:
        """Writes what waits."""
        self._write_motion()
        if self._vectors is not None:
            self._write_groups(self._vectors.flush())

    def _vector_encoder(self, latent: np.ndarray) -> VectorEncoder:
        """The encoder of a clip whose first latent is `latent` [D]."""
        export, options = self._networks.export, self._options
        importance = None
        if export.variant == "semantic" and options.effort > 1:
            importance = mesh_importance(export.tables.schema, latent)
        return VectorEncoder(
            export.tables.schema,
            export.tables,
            options.quantiser,
            group_frames=options.group_frames,
            resync_groups=options.resync_groups,
            rate_weight=options.rate_weight,
            importance=importance,
            search_width=_SEARCH_WIDTHS[options.effort],
        )

    def _write_key(self, item: Analysed) -> _Key:
        """Writes the KEY and STATIC units of a frame.

        The latent is that of the picture as coded: so the models were trained, and so the key
        latent says where things are in the picture that the decoder really has.
        """
        options, frame = self._options, item.frame
        qp = LATENT_KEY_QP if options.key_qp is None else options.key_qp
        key = self._encode_key(frame, qp, options.key_codec)
        coded = keyframes.decode(key.codec, key.payload, *frame.shape[:2])
        latent = self._networks.analyse_key(coded, item.body)
        self._vectors = self._vectors or self._vector_encoder(latent)
        static, decoded = self._vectors.key(latent)
        self._writer.write_key(self.count, key.codec, qp, key.payload)
        self._writer.write_static(self.count, static)
        features = self._networks.features(coded) if options.hold else None
        polisher = self._networks.polisher
        start = polisher.key(coded, decoded) if polish.STEPS[options.effort] else None
        return _Key(coded, latent, decoded, features, start, item.confidence)

    def _write_motion(self) -> None:
        """Hands the waiting latents on, those of frames that motion makes worse as the key's."""
        key, options = self._key, self._options
        if key is None or not self._waiting:
            return
        frames = np.stack([item.frame for item in self._waiting])
        bodies = np.stack([item.body for item in self._waiting])
        latents = self._networks.analyse(frames, key.picture, bodies)
        if self._starts:  # the key frame itself
            latents[0], self._starts = key.latent, False
        if steps := polish.STEPS[options.effort]:
            still = (latents == key.latent).all(-1, keepdims=True)
            polished = self._networks.polisher.polish(
                frames, latents, key.polish, self._last, steps, options.quantiser
            )
            latents = np.where(still, latents, polished)
        if options.hold:
            drawn = self._as_decoded(latents)
            made = list(self._networks.draw(key.picture, key.features, key.decoded, drawn))
            held = better_held(frames, np.stack(made), key.picture)
            latents = np.where(held[:, None], key.latent, latents)
        for latent in latents:
            self._write_groups(self._vectors.push(latent))
        self._waiting.clear()
        self._last = latents[-1]

    def _as_decoded(self, latents: np.ndarray) -> np.ndarray:
        """Latents [T, D] rounded to levels; numbers that go with the key picture only are its."""
        levels, key = self._levels.of(latents), self._levels.of(self._key.latent)
        count = self._levels.dynamic
        return self._levels.vectors(with_static(levels[:, :count], key[count:]))

    def _write_groups(self, groups: Iterable[Any]) -> None:
        for group in groups:
            self._writer.write_motion(group)


def analysed(
    networks: Networks,
    frames: Iterable[np.ndarray],
    bodies: Iterable[np.ndarray] | None,
    find: BodyFinder,
) -> Iterator[Analysed]:
    """Yields the frames of a clip with their bodies, chunk by chunk.

    Args:
      networks: Of the model.
      frames: [H, W, 3] uint8 each.
      bodies: [188] body vectors where the caller knows them.
      find: Finds the bodies of a chunk else.

    Raises:
      CodecError: There are fewer bodies than frames.
    """
    bodies = None if bodies is None else iter(bodies)
    for chunk in _chunks(frames, _CHUNK):
        pictures, confidence = np.stack(chunk), np.ones(len(chunk))
        if bodies is not None:
            vectors = given_bodies(bodies, len(chunk))
        elif networks.export.variant != "semantic":  # sends none
            vectors = np.zeros((len(chunk), BODY_VECTOR_SIZE), np.float32)
        else:
            vectors, confidence = find(pictures)
        rows = zip(chunk, vectors, confidence.tolist(), lasting(confidence), strict=True)
        yield from (Analysed(*row) for row in rows)


def _chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yields lists of `size` consecutive items; the last may be shorter."""
    items = iter(items)
    while chunk := list(itertools.islice(items, size)):
        yield chunk
