"""Opening, driving and saving, in tabs of the main panel."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hvc_jax.studio.folder import CLIP_SUFFIXES
from hvc_jax.studio.panels import pressed
from hvc_jax.studio.transfer import SOURCE_SUFFIXES, Motion

if TYPE_CHECKING:
    import viser

    from hvc_jax.studio.page import Page

_NONE = "(none)"


class FilePanel:
    """Tabs that open a stream, take the motion of another, and save what was made."""

    def __init__(self, page: Page, tabs: viser.GuiTabGroupHandle) -> None:
        self._page, gui = page, page.client.gui
        self._tokens: list[str] = []
        if page.session.controls:
            with tabs.add_tab("Motion"):
                gui.add_markdown(
                    "Drives this person by another motion; shape and proportions stay. Streams, "
                    "BVH, AMASS or SMPL-X files, and videos, which are encoded first."
                )
                motion = self._choice("Motion of", (*SOURCE_SUFFIXES, *CLIP_SUFFIXES))
                self._how = gui.add_dropdown("If it is shorter", ("hold", "loop", "stretch"))
                self._absolute = gui.add_checkbox("Poses as they are, not movement", False)
                pressed(gui.add_button("Drive"), lambda: self._with(motion, self._drive))
                self._upload("A motion or video", self._drive)
                gui.add_markdown(
                    "Live: the person before a camera of this machine, or in a video of the "
                    "folder, drives the frame that is shown."
                )
                live = gui.add_text("Camera or video", "/dev/video0")
                start, stop = gui.add_button("Start"), gui.add_button("Stop and keep the motion")
                watch = lambda: page.watch(live.value.strip())  # noqa: E731
                pressed(start, lambda: page.ask("watch", watch, False))
                pressed(stop, lambda: page.ask("unwatch", self._drive_live, False))
        with tabs.add_tab("Open"):
            gui.add_markdown("Streams are opened, videos are encoded first.")
            stream = self._choice("File", (".hvc", *CLIP_SUFFIXES))
            pressed(gui.add_button("Open"), lambda: self._with(stream, self._open))
            self._upload("A stream or video", self._open)
        with tabs.add_tab("Save"):
            self._name = gui.add_text("Name", f"{page.session.path.stem}_edited")
            for suffix in (".hvc", ".mp4", ".png"):
                button = gui.add_button(f"Save {suffix}")
                pressed(button, functools.partial(self._ask_save, suffix))

    def _choice(self, label: str, suffixes: tuple[str, ...]) -> Any:
        names = self._page.folder.names(suffixes)
        return self._page.client.gui.add_dropdown(label, tuple(names) or (_NONE,))

    def _with(self, choice: Any, act: Callable[[Path], None]) -> None:
        if choice.value != _NONE:
            path = self._page.folder.file(choice.value)
            self._page.ask("file", functools.partial(act, path), False)

    def _upload(self, label: str, act: Callable[[Path], None]) -> None:
        page = self._page

        def taken(path: Path) -> None:
            page.ask("file", functools.partial(act, path), False)

        token = page.uploads.open(taken)
        self._tokens.append(token)
        page.client.gui.add_html(page.uploads.area(token, label))

    def close(self) -> None:
        """Takes no more files."""
        for token in self._tokens:
            self._page.uploads.close(token)

    def _stream_of(self, path: Path, variant: str = "hybrid") -> Path:
        """The path itself, or the stream that a video was encoded to."""
        if path.suffix.lower() not in CLIP_SUFFIXES:
            return path
        note = self._page.client.add_notification(
            f"Encoding {path.name}", "The first frames are read.", loading=True,
            with_close_button=False,
        )  # fmt: skip

        def tell(line: str) -> None:
            note.body = line

        try:
            return self._page.folder.encode(path, tell, variant, self._page.going_on)
        finally:
            note.remove()

    def _open(self, path: Path) -> None:
        self._page.load(self._stream_of(path))

    def _drive(self, path: Path) -> None:
        page = self._page
        motion = Motion(self._stream_of(path, "semantic"), self._how.value, self._absolute.value)
        page.session.retarget(motion, page.span)
        page.edited()

    def _drive_live(self) -> None:
        """Ends the camera and makes what it saw a motion of the folder, which drives the clip."""
        live = self._page.unwatch()
        if live is not None:
            path = self._page.folder.free("live.npy")
            live.save(path, float(self._page.session.opened.player.header.fps))
            self._drive(path)

    def _ask_save(self, suffix: str) -> None:
        self._page.ask(f"save {suffix}", functools.partial(self._save, suffix), False)

    def _save(self, suffix: str) -> None:
        page, session = self._page, self._page.session
        target = page.folder.target(self._name.value, suffix)
        if target.exists() and target.samefile(session.path):
            raise ValueError(f"{target.name} is the stream that is shown; choose another name")
        speed = ""
        if suffix == ".hvc":
            started = time.perf_counter()
            session.save_stream(target)
            each = 1e3 * (time.perf_counter() - started) / len(page.bits)
            speed = f" - edited and written in {each:.2f} ms a frame"
        elif suffix == ".mp4":
            session.save_video(target, page.going_on)
        else:
            session.save_picture(target, page.clock.frame)
        page.client.add_notification("Saved", f"{target}{speed}", color="green")
        page.client.send_file_download(target.name, target.read_bytes())
