"""Frames of a stream, one at a time, as they were sent or from other parameters.

A session knows streams by this interface only. `LatentPlayer` draws any frame from any latent, for
streams whose frames depend on their key picture and their own latent; `FixedPlayer` has decoded
frames, for streams that are damaged or whose variant cannot be drawn frame by frame.
"""

import io
import itertools
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hvc_jax.codec.codec import Codec, key_picture
from hvc_jax.codec.field_decoder import posed
from hvc_jax.codec.load import codec_of_stream, repairing_decoder
from hvc_jax.codec.networks import KeyFrame
from hvc_jax.stream.container import StreamReader, key_unit
from hvc_jax.stream.errors import BitstreamError
from hvc_jax.stream.header import Header
from hvc_jax.stream.levels import Levels, with_static
from hvc_jax.stream.tables import CodingTables
from hvc_jax.stream.tracks import Tracks, read_tracks
from hvc_jax.stream.units import Unit, UnitType

MOST_BYTES = 1 << 29
"""Decoded pictures that a `FixedPlayer` holds; 2730 frames of 256x256."""

_KEYS_HELD = 3
_EDITS = (UnitType.EDIT, UnitType.EDIT_STATIC)


class Drawn(NamedTuple):
    """One frame."""

    picture: np.ndarray  # [H, W, 3] uint8 RGB
    # [h, w, 2] float32 where in the key picture every place was looked up, in [-1, 1]; None where
    # nothing moved or the variant has none
    grid: np.ndarray | None = None


class Player:
    """What a session needs of a stream."""

    header: Header  # size, frame rate, variant
    frame_count: int  # frames of the clip
    held: frozenset[int]  # frames that are lost and show what was before
    why_fixed: str  # why nothing can be changed; "" where it can
    tracks: Tracks | None = None  # the parameters; None where there are none to change

    def draw(self, index: int, latent: np.ndarray | None = None) -> Drawn:
        """Frame `index` as it was sent, or from another latent [size] float32."""
        raise NotImplementedError


class LatentPlayer(Player):
    """Draws every frame from its key picture and a latent; see `Player`."""

    def __init__(self, codec: Codec, tracks: Tracks, why_fixed: str = "") -> None:
        self._codec, self.tracks = codec, None if why_fixed else tracks
        self.header, self.held, self.why_fixed = tracks.header, frozenset[int](), why_fixed
        self._vectors = tracks.vectors
        self.frame_count = len(self._vectors)
        counts = [len(interval.levels) for interval in tracks.intervals]
        self._interval = np.repeat(np.arange(len(counts)), counts)
        self._key_units = [unit for unit in tracks.units if unit.type == UnitType.KEY]
        decoder = codec.vector_decoder(self.header)
        static = [unit.payload for unit in tracks.units if unit.type == UnitType.STATIC]
        self._key_latents = [decoder.key(payload) for payload in static]
        self._keys: OrderedDict[int, KeyFrame] = OrderedDict()
        self._lock = threading.Lock()

    def _key(self, interval: int) -> KeyFrame:
        """The key frame of an interval; the last few are kept."""
        with self._lock:
            if interval not in self._keys:
                unit = self._key_units[interval]
                picture = key_picture(key_unit(unit), self.header, unit.offset)
                latent = self._key_latents[interval]
                self._keys[interval] = self._codec.networks.key_frame(picture, latent)
                while len(self._keys) > _KEYS_HELD:
                    self._keys.popitem(last=False)
            self._keys.move_to_end(interval)
            return self._keys[interval]

    def draw(self, index: int, latent: np.ndarray | None = None) -> Drawn:
        """See `Player`."""
        latent = self._vectors[index] if latent is None else latent
        key = self._key(int(self._interval[index]))
        return Drawn(*self._codec.networks.draw_one(key, latent))


class FixedPlayer(Player):
    """Frames that were decoded before; see `Player`."""

    def __init__(
        self, header: Header, frames: list[np.ndarray], why_fixed: str, held: frozenset[int]
    ) -> None:
        self.header, self._frames, self.why_fixed, self.held = header, frames, why_fixed, held
        self.frame_count = len(frames)

    def draw(self, index: int, latent: np.ndarray | None = None) -> Drawn:
        """See `Player`; there is no other latent."""
        if latent is not None:
            raise ValueError(f"frame {index} cannot be drawn anew: {self.why_fixed}")
        return Drawn(self._frames[index])


class HybridPlayer(FixedPlayer):
    """Decoded frames, with the motion from the sent to another pose shown on top; see `Player`."""

    def __init__(self, tracks: Tracks, frames: list[np.ndarray]) -> None:
        super().__init__(tracks.header, frames, "", frozenset())
        self.tracks = tracks
        self._vectors, levels = tracks.vectors, Levels(tracks.schema, tracks.header.quantiser)
        sent = [
            levels.vectors(with_static(interval.sent, interval.key[len(tracks.steps) :]))
            for interval in tracks.intervals
        ]
        self._sent = np.concatenate(sent)

    def draw(self, index: int, latent: np.ndarray | None = None) -> Drawn:
        """See `Player`."""
        latent = self._vectors[index] if latent is None else latent
        frame, sent = self._frames[index], self._sent[index]
        return Drawn(frame if (latent == sent).all() else posed(frame, sent, latent))


class Opened(NamedTuple):
    """A stream that is ready to be shown."""

    data: bytes
    player: Player  # draws it
    tables: CodingTables | None  # None where it has no parameters that can be changed
    units: list[Unit]  # those that are intact, in order


def open_player(path: Path, model: Path | None = None, codecs: dict | None = None) -> Opened:
    """Opens a stream to be shown; `model` is its model file, where it is not a shipped one.

    `codecs`: (variant, model id) -> codec; those that are made are put there, to compile once.
    Raises BitstreamError: The file is no stream. Raises ModelError: Its model is not there. Raises
    ValueError: It cannot be played without holding too much.
    """
    data = path.read_bytes()
    try:
        reader = StreamReader(io.BytesIO(data))
    except BitstreamError as error:
        raise BitstreamError(f"{path}: {error.reason}; give a .hvc file", error.offset) from error
    header = reader.header
    codecs = {} if codecs is None else codecs
    key = header.variant, header.model_id
    if key not in codecs:
        codecs[key] = codec_of_stream(header, path, model)
    codec = codecs[key]
    try:
        units = list(reader.units())
    except BitstreamError as error:
        repair = repairing_decoder(codec, io.BytesIO(data))
        frames = _held_in_memory(repair.frames(), header, path)
        why = f"the stream is damaged ({error}); lost frames show what was before"
        player = FixedPlayer(header, frames, why, frozenset(repair.held))
        return Opened(data, player, None, repair.units)
    tables = None if header.variant == "field" else codec.export.tables
    if header.variant == "hybrid" and tables is not None:
        decoder = codec.decoder(header)
        pushed = (decoder.push(unit) for unit in units if unit.type not in _EDITS)
        frames = _held_in_memory(itertools.chain.from_iterable(pushed), header, path)
        return Opened(data, HybridPlayer(read_tracks(data, tables), frames), tables, units)
    if header.variant == "semantic" and tables is not None:
        return Opened(data, LatentPlayer(codec, read_tracks(data, tables)), tables, units)
    why = (
        f"streams of the variant {header.variant} have no named parameters; "
        "encode with --variant hybrid"
    )
    if header.variant in ("keypoint", "implicit") and tables is not None:
        return Opened(data, LatentPlayer(codec, read_tracks(data, tables), why), None, units)
    frames = _held_in_memory(codec.decode(data), header, path)
    return Opened(data, FixedPlayer(header, frames, why, frozenset()), None, units)


def _held_in_memory(frames: Any, header: Header, path: Path) -> list[np.ndarray]:
    most = MOST_BYTES // (header.width * header.height * 3)
    held = []
    for frame in frames:
        if len(held) >= most:
            raise ValueError(
                f"{path}: more than {most} frames cannot be held at once; cut the stream, or decode"
                " it with hvc decode"
            )
        held.append(frame)
    if not held:
        raise ValueError(f"{path}: not one frame of it can be decoded; encode it again")
    return held
