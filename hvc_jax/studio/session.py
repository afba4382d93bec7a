"""One person's view of a stream: edits, undo, what frames look like now, and files out of it.

Knows no web page; the page calls it and shows what it returns. Sessions share the player of a
stream, which does not change, and nothing else.
"""

import dataclasses
import math
import os
import shlex
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from hvc_jax.body.params import POSE
from hvc_jax.data.video_output import write_png, write_video
from hvc_jax.ops.files import write_bytes
from hvc_jax.stream.conceal import intact_sound
from hvc_jax.stream.edit import edited_values, write_values
from hvc_jax.stream.levels import Levels, in_levels
from hvc_jax.stream.named_slots import resolve
from hvc_jax.stream.operations import Operation, apply, parse_operation
from hvc_jax.stream.sound import SoundQueue
from hvc_jax.stream.tracks import Tracks
from hvc_jax.studio.controls import Control, controls, groups, number
from hvc_jax.studio.history import Edit, History, Span, command
from hvc_jax.studio.player import Drawn, Opened
from hvc_jax.studio.transfer import Motion, retarget_operation

_CACHE_BYTES = 64 << 20


class Session:
    """A stream with edits on top.

    `path` is where it came from, for the command line; `controls` what can be moved.
    """

    def __init__(self, opened: Opened, path: Path, model: Path | None = None) -> None:
        self.opened, self.path, self.history = opened, path, History()
        self._model = model
        tracks = opened.player.tracks
        self.controls: list[Control] = controls(tracks.schema) if tracks else []
        self._values = (tracks.values, tracks.constants) if tracks else None
        self._values_of: tuple[Edit, ...] = ()
        self._cache: OrderedDict[tuple[int, bytes], Drawn] = OrderedDict()
        self._cached = 0

    @property
    def tracks(self) -> Tracks:
        """The parameters as sent; ValueError says why there are none to change."""
        tracks = self.opened.player.tracks
        if tracks is None:
            raise ValueError(self.opened.player.why_fixed)
        return tracks

    @property
    def groups(self) -> list[str]:
        """What scale, freeze, smooth and copy act on."""
        return groups(self.controls)

    # Changes. Each is kept only if it can be applied; else ValueError leaves everything as it was.

    def offset(self, slot: str, value: float, span: Span = Span()) -> bool:  # noqa: B008
        """Moves a slot by `value`, in its control's unit, 0 for none; body shape everywhere."""
        span = Span() if self._control(slot).constant else span
        line = f"add {slot} {number(value, self._control(slot).unit)}{span.text()}"
        return self._change(f"add {slot}{span.text()}", [line] if value else [])

    def scale(self, group: str, factor: float, span: Span = Span()) -> bool:  # noqa: B008
        """Multiplies what is sent of a group by `factor`; 1 takes the edit away."""
        line = f"scale {group} {number(factor, '')}{span.text()}"
        return self._change(f"scale {group}{span.text()}", [line] if factor != 1 else [])

    def freeze(self, group: str, on: bool, span: Span = Span()) -> bool:  # noqa: B008
        """Holds a group at the first frame of the span, or lets it go."""
        line = f"freeze {group}{span.text()}"
        return self._change(line, [line] if on else [])

    def smooth(self, group: str, frames: float, span: Span = Span()) -> bool:  # noqa: B008
        """Smooths a group by a Gaussian of `frames`; 0 takes the edit away."""
        line = f"smooth {group} {number(frames, '')}{span.text()}"
        return self._change(f"smooth {group}{span.text()}", [line] if frames else [])

    def copy(self, group: str, frame: int, span: Span) -> bool:
        """Gives the frames of a span the pose that frame `frame` was sent with or edited to."""
        line = f"copy {group} {frame}{span.text()}"
        return self._change(line, [line])

    def retarget(self, motion: Motion, span: Span = Span()) -> bool:  # noqa: B008
        """Drives the person by another motion, below all other edits; see `transfer`."""
        tracks, tables = self.tracks, self.opened.tables
        assert tables is not None  # as there are tracks
        operation, _ = retarget_operation(
            motion,
            tracks.header,
            tables,
            len(tracks.values),
            self._model,
            **dataclasses.asdict(span),
        )
        edited_values(tracks, [operation])
        words = ["--retarget", os.fspath(motion.path)]
        words += ["--absolute"] if motion.absolute else []
        words += [] if motion.how == "hold" else [f"--{motion.how}"]
        return self.history.drive(Edit("retarget", shlex.join(words), operation))

    def turn(self, slots: dict[str, float], span: Span = Span()) -> bool:  # noqa: B008
        """Adds to several rotations at once (radians by slot): a joint that was dragged."""
        amounts = dict(self.offsets(span))
        lines = {}
        for slot, radians in slots.items():
            unit = self._control(slot).unit
            more = math.degrees(radians) if unit == "deg" else radians
            amounts[slot] = round(amounts.get(slot, 0.0) + more, 2)
            lines[slot] = f"add {slot} {number(amounts[slot], unit)}{span.text()}"
        changed = False
        for slot, line in lines.items():
            changed |= self._change(f"add {slot}{span.text()}", [line], step="turn")
        return changed

    def _control(self, slot: str) -> Control:
        self.tracks  # noqa: B018  says why where there are none
        found = next((control for control in self.controls if control.slot == slot), None)
        if found is None:
            resolve(self.tracks.schema, (slot,))  # says what may be meant
            raise ValueError(f"{slot} has no control")
        return found

    def _change(self, key: str, lines: list[str], step: str | None = None) -> bool:
        tracks, edits = self.tracks, []
        for line in lines:
            operation = parse_operation(line)
            edited_values(tracks, [operation])
            edits.append(Edit(key, line, operation))
        return self.history.change(key, edits, step)

    # What is there now.

    def offsets(self, span: Span = Span()) -> dict[str, float]:  # noqa: B008
        """Offset of every slot that has one over this span, in the unit of its control."""
        found = {}
        for edit_ in self.history.edits:
            operation = edit_.operation
            slot = f"add {operation.names[0]}"
            if edit_.key in (f"{slot}{span.text()}", slot * operation.names[0].startswith("betas")):
                angle = edit_.line.split()[2].endswith("deg")
                value = math.degrees(operation.value) if angle else operation.value
                found[operation.names[0]] = round(value, 6)
        return found

    def amount(self, change: str, name: str, span: Span, idle: float) -> float:
        """The number of a "scale" or "smooth" of a name over this span, `idle` without one."""
        key = f"{change} {name}{span.text()}"
        return next((e.operation.value for e in self.history.edits if e.key == key), idle)

    def values(self) -> tuple[np.ndarray, np.ndarray]:
        """Values [T, dynamic slots] and constants [keys, static slots] after edits, not rounded."""
        edits = self.history.edits
        if self._values is None or edits is not self._values_of:
            self._values = edited_values(self.tracks, [item.operation for item in edits])
            self._values_of = edits
        return self._values

    def latent(self, index: int) -> np.ndarray:
        """[size] float32 latent of a frame after the edits, exactly as the edited stream has it."""
        values, constants = self.values()
        return self._latent(index, values[index], constants)

    def driven(self, index: int, bodies: np.ndarray) -> Drawn:
        """A frame moved as bodies [2, 188] moved from the first to the second, without its edits.

        As `retarget` would move it, on top of the pose of the frame's key picture.
        """
        tracks = self.tracks
        slots = tracks.schema.dynamic
        joints = [s.name.rpartition("_")[0] for s in slots if POSE.start <= s.index < POSE.stop]
        source = bodies[:, [slot.index for slot in slots]].astype(np.float64)
        operation = Operation("retarget", tuple(dict.fromkeys(joints)), source=source)
        rows = slice(index, index + 1)
        sent, keys = (np.repeat(each[rows], 2, 0) for each in (tracks.values, tracks.keys))
        values = apply(operation, tracks.schema, sent, keys)[1]
        return self.opened.player.draw(index, self._latent(index, values))

    def _latent(
        self, index: int, values: np.ndarray, constants: np.ndarray | None = None
    ) -> np.ndarray:
        """[size] float32 latent of a frame that has other values [dynamic slots]."""
        tracks, start, number = self.tracks, 0, 0
        while index >= start + len(tracks.intervals[number].levels):
            start, number = start + len(tracks.intervals[number].levels), number + 1
        interval = tracks.intervals[number]
        rounding = Levels(tracks.schema, tracks.header.quantiser)
        sent = np.concatenate([interval.levels[index - start], interval.static])
        before = np.concatenate([tracks.values[index], tracks.constants[number]])
        static = tracks.constants if constants is None else constants
        wanted = np.concatenate([values, static[number]])
        levels = np.where(wanted != before, in_levels(wanted, rounding.steps), sent)
        return rounding.vectors(levels[None])[0]

    def frame(self, index: int, edited: bool = True) -> Drawn:
        """A frame after the edits, or as it was sent."""
        player = self.opened.player
        latent = None
        if edited and self.history.edits:
            latent = self.latent(index)
        key = index, b"" if latent is None else latent.tobytes()
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        drawn = self._cache[key] = player.draw(index, latent)
        self._cached += drawn.picture.nbytes
        while self._cached > _CACHE_BYTES and len(self._cache) > 1:
            self._cached -= self._cache.popitem(last=False)[1].picture.nbytes
        return drawn

    def command(self, target: str = "edited.hvc") -> str:
        """The `hvc edit` command line that makes the same stream; "" without edits."""
        edits = self.history.edits
        return command(edits, os.fspath(self.path), target) if edits else ""

    def stream(self) -> bytes:
        """The stream after the edits; key pictures keep their bytes."""
        if not self.history.edits:
            return self.opened.data
        tables = self.opened.tables
        assert tables is not None  # without them there are no edits
        values, constants = self.values()
        notes = [item.operation.describe() for item in self.history.edits]
        return write_values(self.opened.data, self.tracks, values, tables, notes, constants)

    # Files, whole or not at all.

    def save_stream(self, path: Path) -> int:
        """Writes the edited stream; returns its bytes."""
        data = self.stream()
        write_bytes(path, data)
        return len(data)

    def save_video(self, path: Path, going_on: Callable[[], None] = lambda: None) -> int:
        """Writes the edited clip, returns its frames; what `going_on` raises before one ends it."""
        player = self.opened.player

        def drawn() -> Iterator[np.ndarray]:
            for index in range(player.frame_count):
                going_on()
                yield self.frame(index).picture

        frames = drawn()
        sound = SoundQueue(intact_sound(self.opened.units))
        return write_video(path, frames, player.header.fps, sound=sound)

    def save_picture(self, path: Path, index: int) -> None:
        """Writes an edited frame as PNG."""
        write_png(path, self.frame(index).picture)
