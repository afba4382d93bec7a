"""The one folder that a studio reads from and writes to, and what may be put into it."""

import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from hvc_jax.data.video_output import VIDEO_SUFFIXES
from hvc_jax.ops.files import OutputError, atomic_path
from hvc_jax.ops.progress import CountedFile, Progress
from hvc_jax.studio.player import Opened, open_player
from hvc_jax.studio.transfer import SOURCE_SUFFIXES

CLIP_SUFFIXES = VIDEO_SUFFIXES
SUFFIXES = (*SOURCE_SUFFIXES, *CLIP_SUFFIXES)

_NAME = re.compile(r"[\w][\w .()+=-]{0,120}")


class Folder:
    """A folder whose files are known by plain names; `most_bytes` is the largest it takes."""

    def __init__(self, path: Path, model: Path | None = None, most_bytes: int = 64 << 20) -> None:
        """Names a folder; `model` is the model file of streams whose model is not shipped.

        `most_bytes`: see the class. Raises ValueError: There is no such folder.
        """
        if not path.is_dir():
            raise ValueError(f"{path} is no folder; name one that exists with --folder")
        self.path, self.model, self.most_bytes = path, model, most_bytes
        self._codecs: dict = {}
        self._opened: dict[tuple[str, int, int], Opened] = {}
        self._lock, self._naming = threading.Lock(), threading.Lock()
        self._coming: set[Path] = set()  # names of files that are being received

    def file(self, name: str) -> Path:
        """The path of a file in the folder; ValueError: a name that leads elsewhere, or is odd."""
        if not _NAME.fullmatch(name) or name in (".", ".."):
            raise ValueError(
                f"{name[:80]!r} is no plain file name; use letters, digits, blanks and . - _ + ="
            )
        path = self.path / name
        if os.path.realpath(path) != os.path.join(os.path.realpath(self.path), name):
            raise ValueError(f"{name} is a link that leads out of the folder; copy the file there")
        return path

    def target(self, name: str, suffix: str) -> Path:
        """The path of a file to be written, with its ending put behind where it is missing."""
        return self.file(name if name.lower().endswith(suffix) else name + suffix)

    def names(self, suffixes: tuple[str, ...]) -> list[str]:
        """Files in the folder with one of these endings, sorted."""
        found = []
        for path in sorted(self.path.iterdir()):
            if path.suffix.lower() in suffixes and path.is_file() and _NAME.fullmatch(path.name):
                found.append(path.name)
        return found

    def open(self, path: Path) -> Opened:
        """A stream, opened once for all sessions that show it; errors as `open_player`."""
        state = path.stat()
        key = str(path), state.st_mtime_ns, state.st_size
        with self._lock:
            if key not in self._opened:
                self._opened = {k: v for k, v in self._opened.items() if k[0] != key[0]}
                opened = open_player(path, self.model, self._codecs)
                if opened.player.tracks is not None:
                    # Compiles what draws a changed frame now, not when the first control moves.
                    latent = opened.player.tracks.vectors[0]
                    opened.player.draw(0, latent + np.float32(1e-3))
                self._opened[key] = opened
            return self._opened[key]

    def receive(self, name: str, parts: Iterable[bytes]) -> Path:
        """Writes a file that comes in parts under a name that is free; returns the path.

        It is whole or not there: what `parts` raises ends it.

        Raises:
          ValueError: A kind that is not known, before a part is asked for; or it cannot be written.
        """
        with self._naming:
            path = self.free(name)
            if path.suffix.lower() not in SUFFIXES:
                raise ValueError(f"{name[:80]}: give one of {', '.join(SUFFIXES)}")
            self._coming.add(path)
        try:
            with atomic_path(path) as temporary, temporary.open("wb") as file:
                file.writelines(parts)
        finally:
            self._coming.discard(path)
        return path

    def free(self, name: str) -> Path:
        """The path of a file that is not there yet: this name, or with a number behind it.

        Folders before the name are left out, signs that are not allowed become lines.
        Raises OutputError: There are a thousand.
        """
        plain = re.sub(r"[^\w .()+=-]", "_", os.path.basename(name.replace("\\", "/"))).strip(" .")
        stem, suffix = os.path.splitext(plain[-100:])
        for number in range(1000):
            path = self.file(f"{stem}{f' {number}' if number else ''}{suffix}")
            if not path.exists() and path not in self._coming:
                return path
        raise OutputError(f"{name}: a thousand files have this name; rename it")

    def encode(
        self,
        path: Path,  # The video
        # Is given a line a second that says how far it is; None: the standard error has it
        tell: Callable[[str], None] | None = None,
        # hybrid, or semantic, which is quicker, where its motion alone is wanted
        variant: str = "hybrid",
        # Called before every frame; what it raises ends the coding, without a file
        going_on: Callable[[], None] = lambda: None,
    ) -> Path:
        """Codes a video of the folder; returns the path of the stream."""
        from hvc_jax.codec.load import codec_of_variant
        from hvc_jax.codec.options import EncodeOptions, Source
        from hvc_jax.data.clips import open_clip

        info, frames = open_clip(path, audio_kbps=8.0 if variant == "hybrid" else 0.0)

        def read() -> Iterator[np.ndarray]:
            for frame in frames:
                going_on()
                yield frame

        codec = codec_of_variant(variant, self.model)
        source = Source.made_square(info.width, info.height, "crop")
        # The lowest effort: somebody waits for it.
        options = EncodeOptions(effort=0)
        target = self.free(path.with_suffix(".hvc").name)
        with (
            Progress(info.frames, "frames coded", tell=tell) as shown,
            atomic_path(target) as temporary,
            temporary.open("wb") as file,
        ):
            counted = CountedFile(file, shown)
            codec.encode(
                counted.counted(read()),
                counted,
                fps=info.fps,
                options=options,
                source=source,
                sound=info.sound,
            )
        return target
