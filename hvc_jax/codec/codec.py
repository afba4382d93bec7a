"""The codec: frames in, a stream out, frames back; both directions hold a bounded part in memory.

frames ─► analyse ─► latents ─► VectorEncoder ─► STATIC, MOTION units ┐
  └─ key frame ─► VVC or AV1 intra ─────────────► KEY unit ───────────┴─► stream
stream ─► KEY ─► features (once per key frame) ┐
       └► MOTION ─► the same vectors ──────────┴─► synthesise, in batches ─► frames
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Any, BinaryIO, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax import keyframes
from hvc_jax.body.params import BODY_VECTOR_SIZE
from hvc_jax.codec import polish
from hvc_jax.codec.bodies import BodyFinder, lasting
from hvc_jax.codec.hold import better_held
from hvc_jax.codec.importance import mesh_importance
from hvc_jax.codec.options import CodecError, EncodeOptions, Source, check_side
from hvc_jax.data.cuts import CutDetector
from hvc_jax.models.codec_model import CodecModel
from hvc_jax.models.export import Export
from hvc_jax.ops.compile import fast_jit
from hvc_jax.pose.confidence import DOUBT
from hvc_jax.stream.container import StreamReader, StreamWriter, key_unit
from hvc_jax.stream.edit import stream_schema
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.header import Header
from hvc_jax.stream.units import UnitType, motion_group
from hvc_jax.stream.vectors import VectorDecoder, VectorEncoder

BATCH = 8
"""Frames that a network sees at once."""

_SEARCH_WIDTHS = (1, 4, 4, 8)  # histories of every number that the encoder keeps, by effort
_COMPARED = 32  # frames that are drawn at once to see whether motion makes them better
_CHUNK = 128  # frames that are analysed at once; the body estimate is smoothed inside a chunk


class _Key(NamedTuple):
    """A key frame as the decoder has it: picture [H, W, 3] uint8, latent [D] and features."""

    picture: np.ndarray
    latent: np.ndarray
    features: Any
    polish: polish.PolishKey | None  # where latents are polished
    trust: float  # in the body of the latent


class Codec:
    """Encoder and decoder of one exported model.

    Everything is compiled once per picture size; short batches are padded, never recompiled.

    Attributes:
      export: The model, its coding tables and its id.
      encode_key: Codes a key picture, (picture, qp, codec) -> KeyPicture; replace it to share
        coded key pictures between codecs.
      body_finder: effort -> what finds the bodies of one clip's chunks; replace it to share them.
    """

    def __init__(self, export: Export) -> None:
        self.export = export
        self.encode_key: Callable[..., keyframes.KeyPicture] = keyframes.encode
        self.body_finder: Callable[[int], Callable] = BodyFinder
        model = CodecModel(export.config.model)
        as_float = lambda x: jnp.asarray(x, jnp.float32)  # noqa: E731
        variables = {"params": jax.tree.map(as_float, export.params)}

        def analyse(variables: Any, pictures: jax.Array, body: jax.Array) -> jax.Array:
            unit = pictures.astype(jnp.float32) / 255.0
            return model.apply(variables, unit, body, method="analyse")

        def reference(variables: Any, picture: jax.Array) -> Any:
            unit = picture[None].astype(jnp.float32) / 255.0
            return model.apply(variables, unit, method="reference")

        def synthesise(
            variables: Any, features: Any, key_latent: jax.Array, latents: jax.Array
        ) -> jax.Array:
            spread = lambda x: jnp.broadcast_to(x, (len(latents), *x.shape[1:]))  # noqa: E731
            features, keys = jax.tree.map(spread, features), spread(key_latent[None])
            frames, _ = model.apply(variables, features, keys, latents, method="synthesise")
            return jnp.round(jnp.clip(frames, 0.0, 1.0) * 255.0).astype(jnp.uint8)

        self._variables = variables
        self._analyse, self._reference = fast_jit(analyse), fast_jit(reference)
        self._synthesise = fast_jit(synthesise)
        self._polisher = polish.Polisher(model, variables, export.tables.schema)

    def encode(
        self,
        frames: Iterable[np.ndarray],
        output: BinaryIO,
        *,
        fps: Fraction,
        options: EncodeOptions | None = None,
        source: Source | None = None,
        frame_count: int | None = None,
        bodies: Iterable[np.ndarray] | None = None,
        confidence: list[float] | None = None,
    ) -> int:
        """Writes the stream of a clip and returns the number of frames in it.

        Args:
          frames: [H, W, 3] uint8 RGB each; sides are multiples of 32 from 64 to 2048.
          output: Binary file or pipe.
          fps: Frames per second.
          options: Rates and intervals.
          source: How the frames were made from the clip, for the header.
          frame_count: If known; saves the few bytes of an index.
          bodies: [188] body vector of every frame, where the caller knows them; None estimates
            them if the model sends any.
          confidence: takes up how far the body of every frame is trusted, in [0, 1].

        Raises:
          CodecError: Fewer than two frames, sizes that vary or do not fit the networks, or
            fewer bodies than frames.
          KeyPictureError: A key picture cannot be coded with these options.
        """
        options, source = options or EncodeOptions(), source or Source()
        frames = iter(frames)
        head = list(itertools.islice(frames, 2))
        if len(head) < 2:
            raise CodecError("fewer than two frames to code; give a longer clip")
        height, width = head[0].shape[:2]
        check_side("height", height), check_side("width", width)
        header = Header(
            variant=self.export.variant,
            width=width,
            height=height,
            fps=fps,
            frame_count=frame_count,
            model_id=self.export.model_id,
            quantiser=options.quantiser,
            fit=source.fit,
            source_width=source.width,
            source_height=source.height,
        )
        cuts, vectors, count = CutDetector(), None, 0
        key: _Key | None = None
        waiting: list[tuple[np.ndarray, np.ndarray]] = []  # frames and latents of this key
        with StreamWriter(output, header) as writer:
            pictures = itertools.chain(head, frames)
            analysed = self._analysed(pictures, (height, width, 3), bodies, options.effort)
            last = None  # the latent before those that wait
            for picture, body, latent, trust, person in analysed:
                due = options.key_every and count % options.key_every == 0
                # A key picture of nobody cannot move; where somebody appears, another is due.
                late = key is not None and key.trust < DOUBT and person and options.cuts
                cut = cuts.push(picture) and options.cuts
                vectors = vectors or self._vector_encoder(options, latent)
                if count == 0 or due or cut or late:
                    self._write_motion(writer, vectors, key, waiting, last, options)
                    _write_groups(writer, vectors.flush())
                    key = self._write_key(writer, vectors, count, picture, body, trust, options)
                    latent = last = key.latent
                waiting.append((picture, latent))
                if len(waiting) == min(options.group_frames, _COMPARED):
                    last = self._write_motion(writer, vectors, key, waiting, last, options)
                count += 1
                if confidence is not None:
                    confidence.append(trust)
            self._write_motion(writer, vectors, key, waiting, last, options)
            _write_groups(writer, vectors.flush())
        return count

    def _vector_encoder(self, options: EncodeOptions, latent: np.ndarray) -> VectorEncoder:
        """The encoder of a clip whose first latent is `latent` [D]."""
        tables, importance = self.export.tables, None
        if self.export.variant == "semantic" and options.effort > 1:
            importance = mesh_importance(tables.schema, latent)
        return VectorEncoder(
            tables.schema,
            tables,
            options.quantiser,
            group_frames=options.group_frames,
            resync_groups=options.resync_groups,
            rate_weight=options.rate_weight,
            importance=importance,
            search_width=_SEARCH_WIDTHS[options.effort],
        )

    def decode(
        self, stream: BinaryIO | StreamReader, first: int = 0, last: int | None = None
    ) -> Iterator[np.ndarray]:
        """Yields the frames [H, W, 3] uint8 RGB of a stream.

        Args:
          stream: Binary file or pipe at its beginning, or a reader in front of its first unit
            or of a key frame.
          first: First frame that is wanted; those before it are not drawn.
          last: Frame after the last that is wanted, None for all.

        Raises:
          BitstreamError: The stream is damaged or cut off; the frames before were yielded.
          CodecError: It was made with another model.
        """
        reader = stream if isinstance(stream, StreamReader) else StreamReader(stream)
        header = reader.header
        vectors = self.vector_decoder(header)
        picture = features = key_latent = None
        done = reader.next_frame
        for unit in reader.units():
            if unit.type == UnitType.KEY:
                picture, key_latent = key_picture(key_unit(unit), header, unit.offset), None
                features = self.features(picture)
            elif unit.type == UnitType.STATIC:
                key_latent = vectors.key(unit.payload)
            elif unit.type == UnitType.MOTION:
                group = motion_group(unit)
                if features is None or key_latent is None:
                    raise BitstreamError("motion without a key picture before it", unit.offset)
                if group.frame != done:
                    raise BitstreamError(
                        f"frame {done} is missing, frame {group.frame} follows", unit.offset
                    )
                wanted = slice(max(first - done, 0), None if last is None else max(last - done, 0))
                for latents in batches(vectors.motion(group)[wanted], BATCH):
                    yield from self.draw(picture, features, key_latent, latents)
                done += group.count
                if last is not None and done >= last:
                    return

    def features(self, picture: np.ndarray) -> Any:
        """What the networks take from a key picture [H, W, 3] uint8, for `draw`."""
        return self._reference(self._variables, picture)

    def vector_decoder(self, header: Header) -> VectorDecoder:
        """The decoder of a stream's numbers; raises CodecError if another model made it."""
        export = self.export
        if header.model_id != export.model_id:
            raise CodecError(
                f"the stream needs model {header.model_id.hex()} ({header.variant}), "
                f"this one is {export.model_id.hex()} ({export.variant}); name the right file"
            )
        check_side("the stream's height", header.height)
        check_side("the stream's width", header.width)
        schema = stream_schema(header, export.tables)
        return VectorDecoder(schema, export.tables, header.quantiser)

    def draw(
        self, picture: np.ndarray, features: Any, key_latent: np.ndarray, latents: np.ndarray
    ) -> Iterator[np.ndarray]:
        """Yields the frames of at most `BATCH` latents.

        A frame that does not differ from the key frame *is* the key frame, as good as its bytes
        made it. After an edit it does differ, and is synthesised like the others.
        """
        same = (latents == key_latent).all(-1)
        if not same.all():
            padded = _padded(latents, BATCH)
            made = np.asarray(self._synthesise(self._variables, features, key_latent, padded))
        for i in range(len(latents)):
            yield picture.copy() if same[i] else made[i]

    def _analysed(
        self,
        frames: Iterable[np.ndarray],
        shape: tuple[int, ...],
        bodies: Iterable[np.ndarray] | None,
        effort: int,
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, float, bool]]:
        """Yields (frame, body vector [188], latent [D], trust in the body, person in sight)."""
        bodies, find = None if bodies is None else iter(bodies), self.body_finder(effort)
        for chunk in _chunks(frames, _CHUNK):
            if any(frame.shape != shape for frame in chunk):
                raise CodecError("the frames of the clip differ in size; scale them to one size")
            pictures, trust = np.stack(chunk), np.ones(len(chunk))
            if bodies is not None:
                vectors = np.array(list(itertools.islice(bodies, len(chunk))), np.float32)
                if vectors.shape != (len(chunk), BODY_VECTOR_SIZE):
                    raise CodecError(
                        f"the body vectors are not {BODY_VECTOR_SIZE} numbers for every frame; "
                        "estimate them again for this clip"
                    )
            elif self.export.variant == "keypoint":  # sends none
                vectors = np.zeros((len(chunk), BODY_VECTOR_SIZE), np.float32)
            else:
                vectors, trust = find(pictures)
            more = iter(zip(trust.tolist(), lasting(trust).tolist(), strict=True))
            for part, body in zip(batches(pictures, BATCH), batches(vectors, BATCH), strict=True):
                inputs = _padded(part, BATCH), _padded(body, BATCH)
                latents = np.asarray(self._analyse(self._variables, *inputs))
                for row in zip(part, body, latents, strict=False):
                    yield *row, *next(more)

    def _write_key(
        self,
        writer: StreamWriter,
        vectors: VectorEncoder,
        frame: int,
        picture: np.ndarray,
        body: np.ndarray,
        trust: float,
        options: EncodeOptions,
    ) -> _Key:
        """Writes the KEY and STATIC units of a frame.

        The latent is that of the picture as coded: so the models were trained, and so the key
        latent says where things are in the picture that the decoder really has.
        """
        key = self.encode_key(picture, options.key_qp, options.key_codec)
        coded = keyframes.decode(key.codec, key.payload, *picture.shape[:2])
        inputs = _padded(coded[None], BATCH), _padded(body[None], BATCH)
        latent = np.asarray(self._analyse(self._variables, *inputs))[0]
        static, rounded = vectors.key(latent)
        writer.write_key(frame, key.codec, options.key_qp, key.payload)
        writer.write_static(frame, static)
        features = self.features(coded) if options.hold else None
        start = self._polisher.key(coded, rounded) if polish.STEPS[options.effort] else None
        return _Key(coded, latent, features, start, trust)

    def _write_motion(
        self,
        writer: StreamWriter,
        vectors: VectorEncoder,
        key: _Key | None,
        waiting: list[tuple[np.ndarray, np.ndarray]],
        last: np.ndarray | None,
        options: EncodeOptions,
    ) -> np.ndarray | None:
        """Hands the waiting latents on, those of frames that motion makes worse as the key's.

        Returns the last of them.
        """
        if key is None or not waiting:
            return last
        frames, latents = (np.stack(column) for column in zip(*waiting, strict=True))
        if steps := polish.STEPS[options.effort]:
            still = (latents == key.latent).all(-1, keepdims=True)
            latents = np.where(
                still,
                latents,
                self._polisher.polish(frames, latents, key.polish, last, steps, options.quantiser),
            )
        if options.hold:
            made: list[np.ndarray] = []
            for part in batches(latents, BATCH):
                made += self.draw(key.picture, key.features, key.latent, part)
            held = better_held(frames, np.stack(made), key.picture)
            latents = np.where(held[:, None], key.latent, latents)
        for latent in latents:
            _write_groups(writer, vectors.push(latent))
        waiting.clear()
        return latents[-1]


def key_picture(key: Any, header: Header, offset: int) -> np.ndarray:
    """The picture [H, W, 3] uint8 of a KEY unit."""
    try:
        return keyframes.decode(key.codec, key.payload, header.height, header.width)
    except keyframes.KeyPictureError as error:
        raise BitstreamError(str(error), offset) from error


def _write_groups(writer: StreamWriter, groups: Iterable[Any]) -> None:
    for group in groups:
        writer.write_motion(group)


def _chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yields lists of `size` consecutive items; the last may be shorter."""
    items = iter(items)
    while chunk := list(itertools.islice(items, size)):
        yield chunk


def batches(array: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Yields parts of at most `size` along the first axis."""
    for start in range(0, len(array), size):
        yield array[start : start + size]


def _padded(array: np.ndarray, size: int) -> np.ndarray:
    """`array` with its last entry repeated until the first axis has `size`."""
    missing = size - len(array)
    return np.concatenate([array, np.repeat(array[-1:], missing, 0)]) if missing else array
