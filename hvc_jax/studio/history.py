"""The list of edits with undo and redo; pure, and every edit is a line that `hvc edit` reads."""

import dataclasses
import re
import shlex
from collections.abc import Sequence

from hvc_jax.stream.operations import Operation

_STEPS = 500
"""Undo steps that are kept."""


@dataclasses.dataclass(frozen=True)
class Span:
    """Frames `first` to before `last` (None: the end) of an edit, fading over `ease` frames."""

    first: int = 0
    last: int | None = None
    ease: int = 0

    def text(self) -> str:
        """As it stands at the end of an edit's line; "" for the whole clip."""
        whole = self.first == 0 and self.last is None
        frames = "" if whole else f" {self.first}:{'' if self.last is None else self.last}"
        return frames + (f" ease {self.ease}" if self.ease else "")


@dataclasses.dataclass(frozen=True)
class Edit:
    """One edit."""

    # The control that made it and its frames; another value of the same control replaces it
    key: str
    line: str  # As `hvc edit --edit` takes it; for "retarget" the words of the command line
    operation: Operation  # What it does


class History:
    """Edits in force, in the order in which they are applied, and those before."""

    def __init__(self) -> None:
        self.edits: tuple[Edit, ...] = ()
        self._past: list[tuple[Edit, ...]] = []
        self._future: list[tuple[Edit, ...]] = []
        self._moving: str | None = None

    def change(self, key: str, edits: Sequence[Edit] = (), step: str | None = None) -> bool:
        """Puts edits in the place of those with the same key, or behind all; returns if it differs.

        Changes in a row with the same `step`, by default the key, are one step of undo: a slider
        that is dragged.
        """
        step = key if step is None else step
        before = self.edits
        places = [i for i, edit in enumerate(before) if edit.key == key]
        kept = [edit for edit in before if edit.key != key]
        at = places[0] if places else len(kept)
        after = (*kept[:at], *edits, *kept[at:])
        if after == before:
            return False
        self._keep(after, step)
        return True

    def _keep(self, after: tuple[Edit, ...], step: str) -> None:
        if self._moving != step:
            self._past = [*self._past[-_STEPS:], self.edits]
        self._moving, self._future, self.edits = step, [], after

    def drive(self, edit: Edit) -> bool:
        """Puts a motion below all edits, in the place of the one that was there."""
        rest = [other for other in self.edits if other.key != edit.key]
        self._keep((edit, *rest), "drive")
        self._moving = None
        return True

    def settle(self) -> None:
        """Ends a drag: the next change is a step of undo of its own."""
        self._moving = None

    def undo(self) -> bool:
        """One step back; returns whether there was one."""
        return self._step(self._past, self._future)

    def redo(self) -> bool:
        """One step forward again; returns whether there was one."""
        return self._step(self._future, self._past)

    def reset(self) -> bool:
        """Takes all edits away, which can be undone; returns whether there were any."""
        if not self.edits:
            return False
        self._past, self._future = [*self._past[-_STEPS:], self.edits], []
        self.edits, self._moving = (), None
        return True

    def _step(self, source: list[tuple[Edit, ...]], target: list[tuple[Edit, ...]]) -> bool:
        if not source:
            return False
        target.append(self.edits)
        self.edits, self._moving = source.pop(), None
        return True


def command(edits: Sequence[Edit], source: str, target: str) -> str:
    """The `hvc edit` command line that makes the same stream.

    Edits that all set, add or scale over the same frames are written with --set, others by line.
    """
    words = ["hvc", "edit", source, target]
    lines, span = list(edits), Span()
    if lines and lines[0].key == "retarget":
        first = lines.pop(0)
        words += shlex.split(first.line)
        span = _span(first)
    parts = [re.fullmatch(r"(set|add|scale) ([^ ,]+) (\S+)(.*)", edit.line) for edit in lines]
    spans = {_span(edit) for edit in lines}
    if all(parts) and len(spans) == 1 and len(lines) == len(edits):
        for part in parts:
            if part:
                symbol = {"set": "=", "add": "+=", "scale": "*="}[part[1]]
                words += ["--set", f"{part[2]}{symbol}{part[3]}"]
        span = spans.pop()
    else:
        for edit in lines:
            words += ["--edit", edit.line]
    if span.first or span.last is not None:
        words += ["--frames", f"{span.first}:{'' if span.last is None else span.last}"]
    if span.ease:
        words += ["--ease", str(span.ease)]
    return shlex.join(words)


def _span(edit: Edit) -> Span:
    operation = edit.operation
    return Span(operation.first, operation.last, operation.ease)
