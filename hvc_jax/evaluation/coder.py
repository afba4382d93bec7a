"""How `hvc evaluate` codes clips with many models at many rate points, nothing twice."""

import hashlib
import io
import time
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import numpy as np

from hvc_jax import keyframes
from hvc_jax.codec.codec import Codec
from hvc_jax.codec.field_codec import FieldCodec
from hvc_jax.codec.load import AnyCodec
from hvc_jax.codec.options import EncodeOptions, Source
from hvc_jax.codec.scenes import BodyFinder
from hvc_jax.data.clips import Clip, probe, read_clip
from hvc_jax.evaluation.settings import Settings
from hvc_jax.ops.files import atomic_path
from hvc_jax.stream.header import WITH_FIELD


def read(path: Path, settings: Settings) -> Clip:
    """The clip as it is coded and measured."""
    return read_clip(path, settings.size, settings.fit, frames=settings.frames)


class SharedWork:
    """What codecs have in common for a clip, made once, and the seconds that this saved.

    `saved`: Seconds that what was made before took then, since this was last set to 0.
    """

    def __init__(self) -> None:
        self.saved = 0.0
        self._made: dict[Hashable, tuple[Any, float]] = {}

    def clear(self) -> None:
        """Forgets everything."""
        self._made.clear()

    def key(self, picture: np.ndarray, qp: int, codec: str) -> keyframes.KeyPicture:
        """The coded key picture, which every model wants at every QP."""
        about = (picture.tobytes(), qp, codec)
        return self._get(about, lambda: keyframes.encode(picture, qp, codec))

    def bodies(self, effort: int) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Finds the bodies of a clip chunk by chunk, which every model that sends any wants."""
        find, seen, fed = BodyFinder(effort), [], 0

        def make() -> tuple[np.ndarray, np.ndarray]:
            nonlocal fed
            while fed < len(seen):  # chunks follow from those before
                found, fed = find(seen[fed]), fed + 1
            return found

        def chunk(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            seen.append(pictures)
            about = hashlib.sha256(b"".join(map(np.ndarray.tobytes, seen))).digest()
            return self._get((about, effort), make)

        return chunk

    def _get(self, about: Hashable, make: Callable[[], Any]) -> Any:
        if about in self._made:
            result, seconds = self._made[about]
            self.saved += seconds
            return result
        started = time.perf_counter()
        result = make()
        self._made[about] = result, time.perf_counter() - started
        return result


class Coder:
    """Codes clips; models share key pictures, bodies and the clip that was read last."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._codecs: dict[str, AnyCodec] = {}
        self._clip: tuple[Path, Clip] | None = None
        self._shared = SharedWork()
        self._compiled: set[str] = set()  # variants

    def code(self, path: Path, name: str, options: EncodeOptions, stream: Path) -> float:
        """Writes the stream of a clip by the model of a name; returns the seconds, compiled."""
        if self._clip is None or self._clip[0] != path:
            self._clip = (path, read(path, self._settings))
            self._shared.clear()
        clip, info = self._clip[1], probe(path)
        source = Source.made_square(info.width, info.height, self._settings.fit)

        def write(file: Any) -> None:
            self._codecs[name].encode(
                iter(clip.frames), file, fps=clip.fps, options=options, source=source,
                frame_count=len(clip.frames),
            )  # fmt: skip

        if name not in self._codecs:
            codec = self._codecs[name] = self._codec(name)
            write(io.BytesIO())
            if codec.variant not in self._compiled:
                self._compiled.add(codec.variant)
                self._shared.clear()  # the seconds in it had compilation in them
        self._shared.saved, started = 0.0, time.perf_counter()
        with atomic_path(stream) as temporary, temporary.open("wb") as file:
            write(file)
        return time.perf_counter() - started + self._shared.saved

    def _codec(self, name: str) -> AnyCodec:
        export = self._settings.export(name)
        if export.variant in WITH_FIELD:
            return FieldCodec(export, self._shared.bodies)
        return Codec(export, self._shared.key, self._shared.bodies)
