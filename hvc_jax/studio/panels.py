"""The parts of the page: view, pose controls, files. They ask the page and show what it says."""

from __future__ import annotations

import functools
import html
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import viser

from hvc_jax.body.params import PARENTS
from hvc_jax.stream.rates import kbps
from hvc_jax.studio import ik
from hvc_jax.studio.controls import SECTIONS, Control
from hvc_jax.studio.history import Span

if TYPE_CHECKING:
    from hvc_jax.studio.page import Page

_WIDTH = 440
_COMMAND = (
    '<pre style="margin:.5em 1em;padding:.6em;white-space:pre-wrap;overflow-wrap:anywhere;'
    'font-size:.8em;background:#f6f6f6;user-select:all">{}</pre>'
)
"""Breaks lines between words, which a code block in Markdown does not; a click selects it all."""

_SPEEDS = {"1/4": 0.25, "1/2": 0.5, "1x": 1.0, "2x": 2.0}


def moved(handle: Any, change: Callable[[Any], None]) -> None:
    """Calls `change` with the value when a person moves a control, and not when the page does."""

    @handle.on_update
    async def _(event: viser.GuiEvent) -> None:
        if event.client is not None:
            change(handle.value)


def pressed(handle: Any, act: Callable[[], None]) -> None:
    """Calls `act` when a person presses a button."""

    @handle.on_click
    async def _(_: viser.GuiEvent) -> None:
        act()


class ViewPanel:
    """Pictures, timeline and playing, on the left; shows the "Edited" or the frames "As sent"."""

    def __init__(self, page: Page, has_source: bool) -> None:
        self._page, gui = page, page.client.gui
        self.compare = "Edited"
        player = page.session.opened.player
        blank = np.full((player.header.height, player.header.width, 3), 255, np.uint8)
        self._panel = gui.add_panel()
        with self._panel.add_tab("Frames"):
            self.frame = gui.add_image(blank, label="Decoded frame", format="jpeg", jpeg_quality=92)
            self._figures = gui.add_markdown("")
            self._edited = gui.add_markdown("")
            side = gui.add_button_group("Show", ("Edited", "As sent"))
            self.bars = gui.add_image(blank[:8], label="Bits of every frame", format="png")
            last = max(player.frame_count - 1, 1)
            self._slider = gui.add_slider("Frame", 0, last, 1, 0)
            self._play = gui.add_button("Play")
            loop = gui.add_checkbox("Loop", True)
            speed = gui.add_dropdown("Speed", tuple(_SPEEDS), initial_value="1x")
            names = ["As sent", *(["source"] if has_source else []), "motion field"]
            self.others = gui.add_image(blank, label=", ".join(names), format="jpeg")
        self._panel.dock_left()
        self._panel.set_width(_WIDTH)
        moved(self._slider, lambda value: page.ask("seek", lambda: self._seek(value), False))
        moved(loop, lambda on: page.ask("loop", lambda: setattr(page.clock, "loop", on), False))
        moved(speed, lambda word: page.ask("speed", lambda: self._speed(word), False))
        pressed(self._play, lambda: page.ask("play", self._toggle, False))

        @side.on_click
        async def _(_: viser.GuiEvent) -> None:
            page.ask("side", functools.partial(setattr, self, "compare", side.value), False)

    def remove(self) -> None:
        """Takes it off the page."""
        self._panel.remove()

    def at(self, index: int, bits: float) -> None:
        """Shows the number of the frame and its bits."""
        if self._slider.value != index:
            self._slider.value = index
        self._play.label = "Pause" if self._page.clock.playing else "Play"
        held = index in self._page.session.opened.player.held
        gap = " - lost, held" if held else ""
        self.frame.label = f"Decoded frame {index}, {bits:.0f} bits{gap}"

    def tell_speed(self, milliseconds: np.ndarray) -> None:
        """Shows how long changes took to become pictures, from [n] milliseconds."""
        median, late = np.percentile(milliseconds, (50, 95))
        self._figures.content = (
            f"Control to picture: {median:.0f} ms median, {late:.0f} ms p95 "
            f"of the last {len(milliseconds)} changes"
        )

    def tell_edit(self, size: int | None, milliseconds: float) -> None:
        """Shows the bytes of the edited stream, and how long a frame of it took to be made."""
        self._edited.content = (
            ""
            if size is None
            else f"Edited stream: {size} bytes, made in {milliseconds:.2f} ms a frame"
        )

    def _seek(self, value: int) -> None:
        self._page.clock.set(playing=False)
        self._page.clock.seek(int(value))

    def _speed(self, word: str) -> None:
        self._page.clock.set(speed=_SPEEDS[word])

    def _toggle(self) -> None:
        clock = self._page.clock
        ended = clock.frame >= self._page.session.opened.player.frame_count - 1
        if not clock.playing and ended:
            clock.seek(0)
        clock.set(playing=not clock.playing)
        self._play.label = "Pause" if clock.playing else "Play"


class PosePanel:
    """Everything that changes the person, in the main panel, whose `tabs` others may use."""

    def __init__(self, page: Page) -> None:
        self._page, gui = page, page.client.gui
        session = page.session
        self._sliders: dict[str, Any] = {}
        self.tabs = gui.add_tab_group()
        with self.tabs.add_tab("Change"):
            gui.add_markdown(describe(page))
            if session.controls:
                self._build(gui)

    def _build(self, gui: viser.GuiApi) -> None:
        page, session = self._page, self._page.session
        count = session.opened.player.frame_count
        self._first = gui.add_number("From frame", 0, min=0, max=count - 1, step=1)
        self._last = gui.add_number("To frame (left out)", count, min=1, max=count, step=1)
        self._ease = gui.add_number("Ease (frames)", 0, min=0, max=count, step=1)
        for handle in (self._first, self._last, self._ease):
            moved(handle, lambda _: page.ask("span", page.edited, False))
        steps = {"Undo": session.history.undo, "Redo": session.history.redo}
        steps["Reset"] = session.history.reset
        buttons = gui.add_button_group("Edits", tuple(steps))

        @buttons.on_click
        async def _(_: viser.GuiEvent) -> None:
            self._ask(f"step {time.monotonic()}", steps[buttons.value])

        for section in SECTIONS:
            found = [control for control in session.controls if control.section == section]
            if found:
                with gui.add_folder(section, expand_by_default=section == "Head"):
                    for control in found:
                        self._slider(gui, control)
        with gui.add_folder("Scale, smooth, freeze, copy", expand_by_default=False):
            self._group_tools(gui)
        schema = session.tracks.schema
        joints = {j.replace("_", " "): j for j in ik.DRAGGED if ik.movable(schema, j, PARENTS)}
        drag = gui.add_dropdown("Drag a joint", ("none", *joints))
        moved(drag, lambda text: page.ask("hold", lambda: page.hold(joints.get(text, "")), False))
        self._command = gui.add_html(_COMMAND.format("No edits."))

    def _slider(self, gui: viser.GuiApi, control: Control) -> None:
        unit = " (deg)" if control.unit == "deg" else ""
        handle = gui.add_slider(
            control.label + unit, -control.most, control.most, control.step, 0.0
        )
        self._sliders[control.slot] = handle
        session = self._page.session
        moved(
            handle,
            lambda value: self._ask(
                control.slot, lambda: session.offset(control.slot, value, self.span())
            ),
        )

    def _tool(self) -> str:
        """What scale, smooth, freeze and copy are for."""
        return self._targets[self._target.value]

    def _group_tools(self, gui: viser.GuiApi) -> None:
        page, session = self._page, self._page.session
        single = {c.label: c.slot for c in session.controls if not c.constant}
        self._targets = {"everything": "*", **{name: name for name in session.groups}, **single}
        self._target = gui.add_dropdown("Of", tuple(self._targets))
        scale = gui.add_slider("Scale", -1.0, 3.0, 0.05, 1.0)
        smooth = gui.add_slider("Smooth (frames)", 0.0, 20.0, 0.5, 0.0)
        self._amounts = {"scale": (scale, 1.0), "smooth": (smooth, 0.0)}
        freeze, thaw = gui.add_button("Freeze"), gui.add_button("Let go")
        copy = gui.add_button("Copy this frame's pose to the frames above")

        def ask(change: Callable[..., bool], *values: Any) -> None:
            name = self._tool()
            self._ask(change.__name__, lambda: change(name, *values, self.span()))

        moved(self._target, lambda _: page.ask("target", page.edited, False))
        moved(scale, lambda value: ask(session.scale, value))
        moved(smooth, lambda value: ask(session.smooth, value))
        pressed(freeze, lambda: ask(session.freeze, True))
        pressed(thaw, lambda: ask(session.freeze, False))
        pressed(copy, lambda: ask(session.copy, page.clock.frame))

    def _ask(self, name: str, change: Callable[[], Any]) -> None:
        def job() -> None:
            change()
            self._page.edited()

        self._page.ask(name, job)

    def span(self) -> Span:
        """The frames that changes are for."""
        if not self._page.session.controls:
            return Span()
        count = self._page.session.opened.player.frame_count
        first, last = int(self._first.value), int(self._last.value)
        return Span(first, None if last >= count else max(last, first + 1), int(self._ease.value))

    def renew(self) -> None:
        """Shows the edits in force: sliders and command line."""
        session = self._page.session
        if not session.controls:
            return
        offsets = session.offsets(self.span())
        for slot, handle in self._sliders.items():
            value = float(offsets.get(slot, 0.0))
            if abs(handle.value - value) > 1e-9:
                handle.value = value
        group, span = self._tool(), self.span()
        for change, (handle, idle) in self._amounts.items():
            value = session.amount(change, group, span, idle)
            if abs(handle.value - value) > 1e-9:
                handle.value = value
        self._command.content = _COMMAND.format(html.escape(session.command() or "No edits."))

    def remove(self) -> None:
        """Takes it off the page."""
        self.tabs.remove()


def describe(page: Page) -> str:
    """What the stream is, and why it cannot be changed where that is so."""
    opened, session = page.session.opened, page.session
    header, player = opened.player.header, opened.player
    rate = kbps(len(opened.data), player.frame_count, header.fps)
    lines = [
        f"**{session.path.name}** {header.variant}, {header.width}x{header.height}, "
        f"{player.frame_count} frames at {float(header.fps):.4g}/s, {len(opened.data)} bytes, "
        f"{rate:.2f} kbps, {len(page.keys)} key picture{'s' if len(page.keys) != 1 else ''}"
    ]
    if player.why_fixed:
        lines.append(f"Controls are off: {player.why_fixed}.")
    if player.held:
        lines.append(f"{len(player.held)} frames are lost and held; they are marked in orange.")
    return "\n\n".join(lines)
