"""What can be moved in a stream, from its schema: names, units, ranges, grouped as people think."""

import dataclasses
import math
from collections.abc import Iterable

from hvc_jax.body.params import EXPRESSION_NAMES, SHAPE_NAMES
from hvc_jax.stream.slots import Schema, Slot

_TURNS = {"x": "pitch", "y": "yaw", "z": "roll"}

# Degrees that a joint may be moved away from what is sent; others move by OTHER_DEGREES.
_DEGREES = {"pelvis": 90.0, "neck": 40.0, "head": 60.0, "shoulder": 90.0, "elbow": 120.0}
_OTHER_DEGREES = 60.0

_SECTIONS = {
    "pelvis": "Torso", "spine1": "Torso", "spine2": "Torso", "spine3": "Torso",
    "neck": "Head", "head": "Head", "jaw": "Head",
    "collar": "Arms", "shoulder": "Arms", "elbow": "Arms", "wrist": "Arms",
    "hip": "Legs", "knee": "Legs", "ankle": "Legs", "foot": "Legs",
    "expression": "Face", "camera": "Camera", "betas": "Body shape",
}  # fmt: skip
SECTIONS = ("Head", "Face", "Arms", "Torso", "Legs", "Body shape", "Camera", "Other")


@dataclasses.dataclass(frozen=True)
class Control:
    """One slider: an offset to a slot."""

    slot: str  # Name in the schema, e.g. "head_y".
    label: str  # What people call it, e.g. "Head yaw".
    section: str  # One of `SECTIONS`
    group: str  # What scale, freeze and smooth act on, e.g. "head".
    unit: str  # "deg", or "" for standard deviations and picture widths
    most: float  # Largest offset either way, in that unit
    step: float  # Of the slider, in that unit
    constant: bool = False  # Whether it holds for the whole clip: body shape


def controls(schema: Schema) -> list[Control]:
    """One control for every number of the frames and of body shape, section by section."""
    shape = [slot for slot in schema.static if slot.name.startswith("betas")]
    found = [_control(slot) for slot in schema.dynamic]
    found += [dataclasses.replace(_control(slot), constant=True) for slot in shape]
    return sorted(found, key=lambda control: SECTIONS.index(control.section))


def groups(found: Iterable[Control]) -> list[str]:
    """Names of the groups of what changes over time, in their order."""
    return list(dict.fromkeys(control.group for control in found if not control.constant))


def _control(slot: Slot) -> Control:
    group, _, end = slot.name.rpartition("_")
    side, _, joint = group.rpartition("_")
    section = _SECTIONS.get(joint, "Other")
    words = " ".join((*([side] if side else []), joint))
    if section == "Face" and end.isdecimal() and int(end) < len(EXPRESSION_NAMES):
        label = EXPRESSION_NAMES[int(end)].replace("_", " ").capitalize()
        return Control(slot.name, label, section, group, "", 3.0, 0.05)
    if section == "Body shape":
        name = SHAPE_NAMES.get(int(end), "")
        return Control(slot.name, f"Shape {end} {name}".strip(), section, group, "", 3.0, 0.1)
    if section == "Camera":
        label = {"scale": "Camera zoom", "x": "Camera to the left", "y": "Camera up"}.get(end, end)
        return Control(slot.name, label, section, group, "", 0.5, 0.005)
    if slot.unit == "rad":
        most = _DEGREES.get(joint, _OTHER_DEGREES)
        turn = _TURNS.get(end, end)
        label = f"{words.capitalize()} {turn}"
        return Control(slot.name, label, section, group, "deg", most, 0.5)
    return Control(slot.name, slot.name, section, group or slot.name, "", 40 * slot.step, slot.step)


def number(value: float, unit: str) -> str:
    """A value as an edit writes it: "20deg", "0.35"."""
    text = f"{value:.10g}"
    return f"{text}{unit}" if math.isfinite(value) else "0"
