"""Edit operations on parameter tracks: set, add, scale, freeze, smooth, retarget.

Operations act on float64 arrays [frames, slots] in the units of the schema; `edit.py` turns streams
into such arrays and back. Imports no jax.
"""

import dataclasses
import difflib
import math
import re

import numpy as np

from hvc_jax.body.params import EDIT_ALIASES
from hvc_jax.stream.schema import Schema

KINDS = ("set", "add", "scale", "freeze", "smooth", "retarget")
_ASSIGNMENT = re.compile(
    r"\s*([A-Za-z]\w*|\*)\s*(\+=|-=|\*=|=)\s*([-+]?[0-9.]+(?:e[-+]?\d+)?)\s*(\w*)\s*"
)
_SYMBOLS = {"=": "set", "+=": "add", "-=": "add", "*=": "scale"}


@dataclasses.dataclass(frozen=True)
class Operation:
    """One edit.

    Attributes:
      kind: "set" to, "add" and "scale" by `value`; "freeze" at the first frame of the range;
        "smooth" with a Gaussian of standard deviation `value` frames; "retarget" to `source`.
      names: slots ("head_y"), their aliases ("head_yaw"), groups ("head") or "*" for all.
      value: in the slot's unit (radians for rotations).
      first: first frame of the range, counted from the start of the clip.
      last: frame after the range, or None for the end.
      ease: frames over which the edit fades in and out, at ends of the range inside the clip.
      source: [frames, slots] values of another clip of the same schema, for "retarget"; its last
        frame is held when it is shorter.
    """

    kind: str
    names: tuple[str, ...] = ("*",)
    value: float = 0.0
    first: int = 0
    last: int | None = None
    ease: int = 0
    source: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown edit {self.kind!r}; choose one of {', '.join(KINDS)}")
        if not math.isfinite(self.value):
            raise ValueError(f"an edit's value must be finite, got {self.value}")
        if self.first < 0 or self.ease < 0 or (self.last is not None and self.last <= self.first):
            raise ValueError(f"frames {self.first}:{self.last} with ease {self.ease} is no range")
        if self.kind == "retarget" and self.source is None:
            raise ValueError("retarget needs the source clip's values")
        if self.kind == "smooth" and not 0 <= self.value <= 1000:
            raise ValueError(f"smooth takes 0 to 1000 frames, got {self.value}")

    def describe(self) -> str:
        """Returns the edit as one short line, as it is noted in the stream."""
        value = "" if self.kind in ("freeze", "retarget") else f" {self.value:.6g}"
        frames = "" if self.first == 0 and self.last is None else f" {self.first}:{self.last or ''}"
        ease = f" ease {self.ease}" if self.ease else ""
        return f"{self.kind} {','.join(self.names)}{value}{frames}{ease}"


def parse_assignment(
    text: str, first: int = 0, last: int | None = None, ease: int = 0
) -> Operation:
    """Returns the operation written as "head_yaw+=20deg", "jaw_x=0.2", "left_elbow*=0.5".

    Args:
      text: name, one of = += -= *=, a number, and optionally the unit deg or rad.
      first: first frame of the range.
      last: frame after the range, or None for the end.
      ease: frames over which it fades in and out.

    Raises:
      ValueError: when the text is no assignment.
    """
    match = _ASSIGNMENT.fullmatch(text)
    if match is None or match[4] not in ("", "deg", "rad"):
        raise ValueError(f"cannot read the edit {text!r}; write it like head_yaw+=20deg")
    name, symbol, number, unit = match.groups()
    try:
        value = float(number)
    except ValueError as error:
        raise ValueError(f"cannot read the number in the edit {text!r}") from error
    if unit == "deg":
        if symbol == "*=":
            raise ValueError(f"a factor has no unit in {text!r}")
        value = math.radians(value)
    return Operation(
        _SYMBOLS[symbol], (name,), -value if symbol == "-=" else value, first, last, ease
    )


def parse_frames(text: str) -> tuple[int, int | None]:
    """Returns (first, last) of a range written "30:90", "30:", ":90" or "30" (one frame).

    Raises:
      ValueError: when it is no range.
    """
    match = re.fullmatch(r"(\d{0,9})(:?)(\d{0,9})", text.strip())
    if match is None or not (match[1] or match[2]):
        raise ValueError(f"cannot read the frames {text!r}; write them like 30:90")
    first = int(match[1] or 0)
    if not match[2]:
        return first, first + 1
    return first, int(match[3]) if match[3] else None


def resolve(schema: Schema, names: tuple[str, ...]) -> np.ndarray:
    """Returns the positions among the dynamic slots that `names` stand for.

    Raises:
      ValueError: when a name is unknown, or not sent with every frame; near names are proposed.
    """
    slots = [slot.name for slot in schema.dynamic]
    found: list[int] = []
    for name in names:
        plain = EDIT_ALIASES.get(name, name)
        hits = [
            i
            for i, slot in enumerate(slots)
            if name == "*" or plain in (slot, slot.rpartition("_")[0])
        ]
        if not hits:
            static = [slot.name for slot in schema.static]
            if any(plain in (slot, slot.rpartition("_")[0]) for slot in static):
                raise ValueError(
                    f"parameter {name!r} is sent once per key frame, so motion edits cannot change "
                    "it; encode with the full_body schema to make all joints editable"
                )
            known = {*slots, *(s.rpartition("_")[0] for s in slots)}
            known |= {alias for alias, slot in EDIT_ALIASES.items() if slot in slots}
            near = difflib.get_close_matches(name, sorted(known), n=3)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise ValueError(f"unknown parameter {name!r}{hint}")
        found += hits
    return np.array(sorted(set(found)), int)


def apply(operation: Operation, schema: Schema, values: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Returns `values` after the edit.

    Args:
      operation: the edit.
      schema: what the columns are.
      values: [frames, slots] float64 values of the dynamic slots.
      keys: [frames, slots] values of the key picture that each frame is drawn from.
    """
    columns = resolve(schema, operation.names)
    first = operation.first
    last = len(values) if operation.last is None else min(operation.last, len(values))
    if first >= last:
        raise ValueError(f"frames {first}:{operation.last} lie outside the {len(values)} frames")
    part = values[first:last, columns]
    edited = _edited(operation, schema, values, keys, columns, first, last)
    weight = _weight(last - first, operation.ease, first > 0, last < len(values))[:, None]
    out = values.copy()
    # At full strength exactly the edited value, so that unchanged numbers stay unchanged.
    out[first:last, columns] = edited
    soft = np.flatnonzero(weight < 1)
    blend = part[soft] + weight[soft] * (edited[soft] - part[soft])
    out[np.ix_(first + soft, columns)] = blend
    return out


def _edited(
    operation: Operation,
    schema: Schema,
    values: np.ndarray,
    keys: np.ndarray,
    columns: np.ndarray,
    first: int,
    last: int,
) -> np.ndarray:
    part = values[first:last, columns]
    match operation.kind:
        case "set":
            return np.full_like(part, operation.value)
        case "add":
            return part + operation.value
        case "scale":
            return part * operation.value
        case "freeze":
            return np.broadcast_to(part[:1], part.shape)
        case "smooth":
            return _smooth(values[:, columns], operation.value)[first:last]
        case _:
            source = np.asarray(operation.source, np.float64)
            if source.ndim != 2 or source.shape[1] != values.shape[1] or not len(source):
                raise ValueError("retarget needs a source clip with the same schema")
            rows = np.minimum(np.arange(last - first), len(source) - 1)
            moved = source[rows][:, columns]
            # Poses carry over as they are; where a person stands and faces is relative.
            relative = np.array([not _is_pose(schema.dynamic[c].name) for c in columns], np.float64)
            return moved + relative * (keys[first:last, columns] - source[0, columns])


def _is_pose(name: str) -> bool:
    return not name.startswith(("pelvis", "camera", "token"))


def _weight(count: int, ease: int, ramp_in: bool, ramp_out: bool) -> np.ndarray:
    """Returns [count] weights in (0, 1]: raised-cosine ramps of `ease` frames where asked for."""
    weight = np.ones(count)
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(ease) + 1) / (ease + 1))
    used = min(ease, count)
    if ramp_in:
        weight[:used] = ramp[:used]
    if ramp_out:
        weight[count - used :] = np.minimum(weight[count - used :], ramp[:used][::-1])
    return weight


def _smooth(track: np.ndarray, sigma: float) -> np.ndarray:
    if sigma == 0:
        return track
    radius = min(int(4 * sigma + 1), 4000)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(track, ((radius, radius), (0, 0)), mode="edge")
    return np.stack([np.convolve(column, kernel, "valid") for column in padded.T], axis=1)
