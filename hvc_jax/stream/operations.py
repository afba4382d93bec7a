"""Edit operations on parameter tracks: set, add, scale, freeze, copy, smooth, retarget.

Operations act on float64 arrays [frames, slots] in the units of the schema; `edit.py` turns streams
into such arrays and back. Imports no jax.
"""

import dataclasses
import math
import re

import numpy as np

from hvc_jax.stream.named_slots import named, resolve
from hvc_jax.stream.slots import Schema

KINDS = ("set", "add", "scale", "freeze", "copy", "smooth", "retarget")
_ASSIGNMENT = re.compile(
    r"\s*([A-Za-z]\w*|\*)\s*(\+=|-=|\*=|=)\s*([-+]?[0-9.]+(?:e[-+]?\d+)?)\s*(\w*)\s*"
)
_NUMBER = re.compile(r"([-+]?[0-9.]+(?:e[-+]?\d+)?)(deg|rad|)")
_SYMBOLS = {"=": "set", "+=": "add", "-=": "add", "*=": "scale"}


@dataclasses.dataclass(frozen=True)
class Operation:
    """One edit."""

    # "set" to, "add" and "scale" by `value`; "freeze" at the first frame of the range; "copy" what
    # frame `value` has; "smooth" with a Gaussian of standard deviation `value` frames; "retarget"
    # to `source`
    kind: str
    # slots ("head_y"), their aliases ("head_yaw"), groups ("head") or "*" for all
    names: tuple[str, ...] = ("*",)
    value: float = 0.0  # in the slot's unit (radians for rotations)
    first: int = 0  # first frame of the range, counted from the start of the clip
    last: int | None = None  # frame after the range, or None for the end
    # frames over which the edit fades in and out, at ends of the range inside the clip
    ease: int = 0
    # [frames, slots] values of another clip of the same schema, for "retarget"; its last frame is
    # held when it is shorter (see `fit_length`)
    source: np.ndarray | None = None
    unit: str = ""  # "deg" or "rad" where the edit says it; `value` is in radians then
    # "retarget" takes the poses of the source as they are. Else they are relative: what the source
    # moves since its first frame is added to where the target begins.
    absolute: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown edit {self.kind!r}; choose one of {', '.join(KINDS)}")
        if not math.isfinite(self.value):
            raise ValueError(f"an edit's value must be finite, got {self.value}")
        if self.first < 0 or self.ease < 0 or (self.last is not None and self.last <= self.first):
            raise ValueError(f"frames {self.first}:{self.last} with ease {self.ease} is no range")
        if self.kind == "retarget" and self.source is None:
            raise ValueError("retarget needs the source clip's values")
        if self.kind == "copy" and not (self.value >= 0 and self.value == int(self.value)):
            raise ValueError(f"copy takes the number of a frame, got {self.value}")
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

    `text`: name, one of = += -= *=, a number, and optionally the unit deg or rad. It fades in and
    out over `ease` frames, from frame `first` to before `last`, None for the end. Raises
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
        value = math.radians(value)
    if symbol == "*=" and unit:
        raise ValueError(f"a factor has no unit in {text!r}")
    value = -value if symbol == "-=" else value
    return Operation(_SYMBOLS[symbol], (name,), value, first, last, ease, unit=unit)


def parse_operation(text: str) -> Operation:
    """Returns the operation written on one line, as `Operation.describe` notes it.

        add head_y 20deg 30:90 ease 10      set, add, scale, smooth: names and a number
        copy head,neck 17 30:90             the pose of frame 17
        freeze left_elbow 30:90
    `text`: kind, names with commas between them, a number, and optionally a range of frames and the
    frames of its ease.
    Raises ValueError: when the text is no such operation.
    """
    wrong = f"cannot read the edit {text!r}; write it like 'add head_y 20deg 30:90 ease 10'"
    try:
        kind, names, *rest = text.split()
        first, last, ease = 0, None, 0
        if rest[-2:-1] == ["ease"]:
            ease = int(rest.pop())
            rest.pop()
        if rest and re.fullmatch(r"\d*:\d*", rest[-1]):
            first, last = parse_frames(rest.pop())
        number = _NUMBER.fullmatch("0" if kind == "freeze" else rest.pop(0))
    except (ValueError, IndexError) as error:
        raise ValueError(wrong) from error
    if rest or number is None or kind == "retarget":
        raise ValueError(wrong)
    value, unit = float(number[1]), number[2]
    if unit == "deg":
        value = math.radians(value)
    return Operation(kind, tuple(names.split(",")), value, first, last, ease, unit=unit)


def parse_frames(text: str) -> tuple[int, int | None]:
    """Returns (first, last) of "30:90", "30:", ":90" or "30" (one frame); else ValueError."""
    match = re.fullmatch(r"(\d{0,9})(:?)(\d{0,9})", text.strip())
    if match is None or not (match[1] or match[2]):
        raise ValueError(f"cannot read the frames {text!r}; write them like 30:90")
    first = int(match[1] or 0)
    if not match[2]:
        return first, first + 1
    return first, int(match[3]) if match[3] else None


def apply_constant(operation: Operation, schema: Schema, constants: np.ndarray) -> np.ndarray:
    """Returns `constants` [intervals, static slots] after an edit; ValueError: over time."""
    names = ",".join(operation.names)
    if operation.kind not in ("set", "add", "scale"):
        raise ValueError(f"{names} does not change over time; set, add to or scale it")
    if operation.first or operation.last is not None or operation.ease:
        raise ValueError(f"{names} holds for the whole clip; give no frames and no ease with it")
    columns = np.array([c for name in operation.names for c in named(schema.static, name)])
    _check_unit(operation, [schema.static[c].unit for c in columns])
    out = constants.copy()
    out[:, columns] = _changed(operation, out[:, columns])
    return out


def _changed(operation: Operation, part: np.ndarray) -> np.ndarray:
    """What "set", "add" or "scale" makes of numbers."""
    if operation.kind == "set":
        return np.full_like(part, operation.value)
    return part + operation.value if operation.kind == "add" else part * operation.value


def fit_length(
    source: np.ndarray, frames: int, how: str = "hold", speed: float = 1.0
) -> np.ndarray:
    """Returns [frames, slots] of a source [n, slots] of another length.

    `how`: "hold" the last frame, "loop" from the first again, or "stretch" to the length; `speed`:
    frames of the source per frame wanted, for clips of different frame rates; "stretch" does
    without.
    """
    count = len(source)
    if how == "stretch":
        at = np.linspace(0, count - 1, frames)
    else:
        at = np.arange(frames) * speed
        at = at % count if how == "loop" else np.minimum(at, count - 1)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, count - 1)
    part = (at - low)[:, None]
    return np.where(part == 0, source[low], source[low] * (1 - part) + source[high] * part)


def apply(operation: Operation, schema: Schema, values: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Returns `values` [frames, slots] float64 of the dynamic slots of `schema` after the edit.

    `keys` [frames, slots] are the values of the key picture that each frame is drawn from.
    """
    columns = resolve(schema, operation.names)
    _check_unit(operation, [schema.dynamic[c].unit for c in columns])
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
        case "set" | "add" | "scale":
            return _changed(operation, part)
        case "freeze":
            return np.broadcast_to(part[:1], part.shape)
        case "copy":
            if operation.value >= len(values):
                raise ValueError(
                    f"copy takes a frame of the clip, 0 to {len(values) - 1}; "
                    f"got {operation.value:.0f}"
                )
            return np.broadcast_to(values[int(operation.value), columns], part.shape)
        case "smooth":
            return _smooth(values[:, columns], operation.value)[first:last]
        case _:
            source = np.asarray(operation.source, np.float64)
            if source.ndim != 2 or source.shape[1] != values.shape[1] or not len(source):
                raise ValueError("retarget needs a source clip with the same schema")
            rows = np.minimum(np.arange(last - first), len(source) - 1)
            moved = source[rows][:, columns]
            if operation.absolute:
                # Poses carry over as they are; where a person stands and faces is relative.
                names = [schema.dynamic[c].name for c in columns]
                placed = [name.startswith(("pelvis", "camera", "token")) for name in names]
                relative = np.array(placed, np.float64)
                return moved + relative * (keys[first:last, columns] - source[0, columns])
            return _relative(schema, columns, moved, source[0, columns], keys[first, columns])


def _relative(
    schema: Schema, columns: np.ndarray, moved: np.ndarray, origin: np.ndarray, base: np.ndarray
) -> np.ndarray:
    """Returns `base` [slots] moved as `moved` [frames, slots] is moved away from `origin` [slots].

    Numbers are added; rotations that are there as a whole (x, y, z) are composed.
    """
    out = base + moved - origin
    names = [schema.dynamic[c].name for c in columns]
    for place, name in enumerate(names):
        joint = name.removesuffix("_x")
        whole = names[place : place + 3] == [f"{joint}_{axis}" for axis in "xyz"]
        if not whole or schema.dynamic[columns[place]].unit != "rad":
            continue
        from scipy.spatial.transform import Rotation  # slow to import, seldom needed

        part = slice(place, place + 3)
        turn = Rotation.from_rotvec(moved[:, part]) * Rotation.from_rotvec(origin[part]).inv()
        out[:, part] = _nearest_turns(
            (turn * Rotation.from_rotvec(base[part])).as_rotvec(), out[:, part]
        )
    return out


def _nearest_turns(vectors: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Returns axis-angle vectors [frames, 3] of the same rotations, nearest to `like`."""
    angle = np.linalg.norm(vectors, axis=1, keepdims=True)
    axis = vectors / np.maximum(angle, 1e-12)
    turns = np.rint(((like * axis).sum(1, keepdims=True) - angle) / (2 * np.pi))
    return np.where(angle > 1e-6, vectors + 2 * np.pi * turns * axis, vectors)


def _check_unit(operation: Operation, units: list[str]) -> None:
    """Questions angles that cannot be radians, and units of what is no angle."""
    if operation.kind not in ("set", "add"):
        return
    name = ",".join(operation.names)
    if operation.unit and "rad" not in units:
        raise ValueError(f"{name} is no angle; leave {operation.unit!r} out")
    if not operation.unit and "rad" in units and abs(operation.value) > math.pi:
        value = f"{operation.value:.6g}"
        raise ValueError(
            f"{name}: {value} is taken as radians, which is {abs(operation.value) / math.tau:.1f} "
            f"turns; write {value}deg for degrees, or {value}rad if it is meant"
        )


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
