"""The page that one browser shows: pictures, controls, the mesh, the timeline, files."""

import functools
import time
from collections import deque
from pathlib import Path

import numpy as np
import viser

from hvc_jax.call.source import CAMERAS, LiveSource
from hvc_jax.studio import ik
from hvc_jax.studio.files_panel import FilePanel
from hvc_jax.studio.folder import Folder
from hvc_jax.studio.history import Edit, Span
from hvc_jax.studio.live_drive import LiveDrive
from hvc_jax.studio.panels import PosePanel, ViewPanel
from hvc_jax.studio.player import Drawn
from hvc_jax.studio.scene import BodyScene
from hvc_jax.studio.session import Session
from hvc_jax.studio.timeline import bits_of_frames, draw_bars, draw_motion
from hvc_jax.studio.uploads import Uploads
from hvc_jax.studio.web import enlarged, small
from hvc_jax.studio.worker import Clock, Worker

_TIMES = 200
_LIVE_SIDE = 256
_REST_BEHIND, _REST_AFTER = 0.05, 0.25
"""Seconds from the picture of a change until mesh and small pictures follow, so that the browser
draws it before them; and until they do even where changes come without a gap."""
_MOST_COUNTED = 2000
"""Frames of a stream whose edited size is told after every change; a second of work."""


class Closed(Exception):
    """Nobody waits for what is being done."""


class Page:
    """What one browser sees: a session (a stream and its edits); nothing is shared with another."""

    def __init__(
        self,
        client: viser.ClientHandle,
        folder: Folder,
        uploads: Uploads,
        path: Path,
        source: np.ndarray | None,
    ) -> None:
        """Builds the page of a client; `path` is the stream that is shown first.

        `uploads` takes files for `folder`; `source`: [T, H, W, 3] uint8 of the clip that the stream
        was made from, if that is known.
        """
        self.client, self.folder, self.uploads, self._source = client, folder, uploads, source
        self._times: deque[float] = deque(maxlen=_TIMES)
        self._asked: float | None = None
        self._shown: tuple | None = None
        self._drawn: Drawn | None = None  # whose mesh and small pictures are not shown yet
        self._rest_due = self._rest_latest = 0.0
        self._counted: tuple[Edit, ...] = ()
        self._scene: BodyScene | None = None
        self._view: ViewPanel | None = None
        self._pose: PosePanel | None = None
        self._files: FilePanel | None = None
        self._live: LiveDrive | None = None
        client.gui.set_panel_label("hvc studio")
        client.gui.configure_theme(show_logo=False, show_share_button=False)
        client.gui.main_panel.dock_right()
        self._worker = Worker(self._draw, self._failed)
        self._worker.ask("open", functools.partial(self.load, path))

    def close(self) -> None:
        """Ends the page's threads; a file that is being written is finished or vanishes."""
        if self._live is not None:
            self._live.stop()
        if self._files is not None:
            self._files.close()
        self._worker.stop()

    def ended(self, seconds: float) -> bool:
        """Waits so long for what `close` has left to be finished; returns whether it is."""
        return self._worker.join(seconds)

    def going_on(self) -> None:
        """Raises what ends a long job of a page that was closed."""
        if self._worker.stopped:
            raise Closed("the page was closed")

    def ask(self, name: str, job, changes: bool = True) -> None:
        """Lets the page's thread do something; `changes`: its time counts as control to picture."""
        if changes and self._asked is None:
            self._asked = time.perf_counter()
        self._worker.ask(name, job)

    def watch(self, name: str) -> None:
        """Lets the person before a camera, or in a video of the folder, drive the frame shown.

        Raises ValueError: A stream without parameters, or no such camera or file.
        """
        self.session.tracks  # noqa: B018  says why where there are none
        self.unwatch()
        source = name if name.startswith(CAMERAS) else self.folder.file(name)
        live = LiveSource(source, _LIVE_SIDE)
        self._live = LiveDrive(live, lambda: self.ask("live", self._show_live))

    def unwatch(self) -> LiveDrive | None:
        """Ends that; returns what drove, with the bodies that were found."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()
            self._shown = None
        return live

    def _show_live(self) -> None:
        live, view = self._live, self._view
        if live is None or view is None:
            return
        if live.error is not None:
            self._live = None
            raise live.error
        drawn = self.session.driven(self.clock.frame, np.stack([live.bodies[0], live.bodies[-1]]))
        view.frame.image = enlarged(drawn.picture)
        if self._scene is not None:
            self._scene.show(live.bodies[-1])

    def load(self, path: Path) -> None:
        """Shows a stream of the folder, without any edits."""
        self.unwatch()
        session = Session(self.folder.open(path), path, self.folder.model)
        player = session.opened.player
        if self._view is not None:
            self._source = None  # that of another stream
        self.session, self._shown, self._drawn, self._counted = session, None, None, ()
        self.clock = Clock(float(player.header.fps), player.frame_count)
        self.bits, self.keys = bits_of_frames(session.opened.units, player.frame_count)
        if self._files is not None:
            self._files.close()
        for panel in (self._view, self._pose):
            if panel is not None:
                panel.remove()
        self._view = ViewPanel(self, has_source=self._source is not None)
        self._pose = PosePanel(self)
        self._files = FilePanel(self, self._pose.tabs)
        if player.tracks is not None and self._scene is None:
            self._scene = BodyScene(self.client, self._dragged)

    @property
    def span(self) -> Span:
        """The frames that the next change is for."""
        return self._pose.span() if self._pose is not None else Span()

    def edited(self) -> None:
        """Shows what follows from a change of the edits."""
        self._shown = None
        if self._pose is not None:
            self._pose.renew()

    def hold(self, joint: str) -> None:
        """Puts the handle at a joint."""
        if self._scene is not None:
            self._scene.hold(joint)
            self._shown = None

    def _dragged(self, place: np.ndarray, ended: bool) -> None:
        self.ask("drag", functools.partial(self._reach, place))
        if ended:
            self.ask("drop", lambda: self.session.history.settle(), False)

    def _reach(self, place: np.ndarray) -> None:
        """Moves the dragged joint to a place, by the rotations above it."""
        scene = self._scene
        if scene is None or not scene.joint:
            return
        tracks, body = self.session.tracks, scene.body
        slots = ik.movable(tracks.schema, scene.joint, body.parents)
        now = self.session.latent(self.clock.frame)
        moved = ik.solve(body, now, scene.joint, place, slots)
        at = {slot.name: slot.index for slot in tracks.schema.dynamic}
        turns = {name: float(moved[at[name]] - now[at[name]]) for name in slots}
        self.session.turn(
            {name: turn for name, turn in turns.items() if abs(turn) > 1e-3}, self.span
        )
        self.edited()

    def _draw(self) -> float | None:
        """Shows the frame that is due; returns the seconds until the next one.

        First its picture. Mesh, bars and small pictures follow when no newer change waits, so that
        a control that is dragged does not wait for them, nor the browser with the picture.
        """
        if self._view is None or self._live is not None:
            return None
        index = self.clock.frame
        edits = self.session.history.edits
        state = index, edits, self._view.compare
        if state != self._shown:
            waits, behind = self._drawn is not None, 0.0 if self._asked is None else _REST_BEHIND
            self._show(index)
            self._shown, now = state, time.monotonic()
            self._rest_latest = self._rest_latest if waits else now + _REST_AFTER
            self._rest_due = now + behind
            if now < self._rest_latest:
                self._asked = None
                return behind
        self._asked = None
        if self._drawn is not None:
            early = min(self._rest_due, self._rest_latest) - time.monotonic()
            if early > 0:
                return early
            self._show_rest(index, self._drawn)
            self._drawn = None
        elif self._counted is not edits and not self.clock.playing:
            self._count(edits)
        else:
            return self.clock.until_next()
        return 0.0

    def _show(self, index: int) -> None:
        """Shows the picture and its figures."""
        session, view = self.session, self._view
        assert view is not None
        drawn = self._drawn = session.frame(index, edited=view.compare != "As sent")
        view.frame.image = enlarged(drawn.picture)
        self.client.flush()
        if self._asked is not None:
            self._times.append(time.perf_counter() - self._asked)
            view.tell_speed(np.array(self._times) * 1e3)

    def _show_rest(self, index: int, drawn: Drawn) -> None:
        """Shows what goes with the picture: timeline, mesh, small pictures."""
        session, view, span = self.session, self._view, self.span
        assert view is not None
        player = session.opened.player
        last = len(self.bits) if span.last is None else span.last
        height, width = drawn.picture.shape[:2]
        row = [small(session.frame(index, edited=False).picture)]
        if self._source is not None:
            row.append(small(self._source[min(index, len(self._source) - 1)]))
        row.append(small(draw_motion(drawn.grid, height, width)))
        view.bars.image = draw_bars(self.bits, self.keys, index, player.held, (span.first, last))
        view.others.image = np.concatenate(row, axis=1)
        view.at(index, self.bits[index])
        if self._scene is not None and player.tracks is not None:
            self._scene.show(session.latent(index))

    def _count(self, edits: tuple[Edit, ...]) -> None:
        """Tells the size of the edited stream, and how long it took to be made."""
        self._counted = edits
        if self._view is None or len(self.bits) > _MOST_COUNTED:
            return
        started = time.perf_counter()
        size = len(self.session.stream())
        each = 1e3 * (time.perf_counter() - started) / len(self.bits)
        self._view.tell_edit(size if edits else None, each)

    def _failed(self, error: Exception) -> None:
        if isinstance(error, Closed):
            return
        text = " ".join(str(error).split()) or type(error).__name__
        self.client.add_notification("That did not work", text, color="red")
        if self._view is None:
            self.client.gui.add_markdown(f"**Nothing to show.** {text}")
        elif self._pose is not None:
            self._pose.renew()
