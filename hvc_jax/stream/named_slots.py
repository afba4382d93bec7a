"""Names of parameters as people write them: slots, aliases, groups, and what may be meant instead.

Imports no jax.
"""

import difflib
import re
from collections.abc import Sequence

import numpy as np

from hvc_jax.body.params import EDIT_ALIASES
from hvc_jax.stream.slots import Schema, Slot


def resolve(schema: Schema, names: tuple[str, ...]) -> np.ndarray:
    """Returns the positions among the dynamic slots that `names` stand for.

    Raises:
      ValueError: when a name is unknown, or not sent with every frame; near names are proposed.
    """
    found: list[int] = []
    for name in names:
        hits = named(schema.dynamic, name)
        if not hits:
            if named(schema.static, name):
                raise ValueError(
                    f"parameter {name!r} is sent once per key frame by the model of this stream; "
                    "change it in an edit of its own, by set, add or scale"
                )
            slots = [slot.name for slot in schema.slots]
            known = {*slots, *(s.rpartition("_")[0] for s in slots)}
            known |= {alias for alias, slot in EDIT_ALIASES.items() if slot in slots}
            raise ValueError(f"unknown parameter {name!r}; {_hint(name, known)}")
        found += hits
    return np.array(sorted(set(found)), int)


def is_constant(schema: Schema, names: tuple[str, ...]) -> bool:
    """Whether all `names` are of numbers that are sent once per key frame, like body shape."""
    return all(named(schema.static, n) and not named(schema.dynamic, n) for n in names)


def named(slots: Sequence[Slot], name: str) -> list[int]:
    """Places among `slots` of a name, an alias, a group or, for "*", of all."""
    plain = EDIT_ALIASES.get(name, name)
    names = [slot.name for slot in slots]
    return [i for i, s in enumerate(names) if name == "*" or plain in (s, s.rpartition("_")[0])]


def _hint(name: str, known: set[str]) -> str:
    """What may be meant by a name that is none."""
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    meant = [m for guess, m in _GUESSES.items() if words & set(guess.split())]
    meant = [m for m in meant if m in known or m.rpartition("_")[0] in known]
    side = next((word for word in ("left", "right") if word in words), "")
    near = [m for m in meant if not side or m.startswith(side) or "_" not in m]
    near = near[:3] or difflib.get_close_matches(name, sorted(known), n=3)
    proposal = f"did you mean {', '.join(near)}? " if near else ""
    return proposal + "hvc inspect shows all that the stream has"


_GUESSES = {
    "smiling happy mouth grin laugh": "smile",
    "wink eyes eye eyelids": "blink",
    "sad face eyebrow brow": "expression_0",
    "yaw turn look": "head_yaw",
    "nod pitch up down": "head_pitch",
    "tilt roll lean": "head_roll",
    "shake": "head_yaw",
    "body rotate rotation orientation torso hips hip waist": "body_yaw",
    "arm arms hand wave left": "left_shoulder",
    "arms arm hand wave right": "right_shoulder",
    "knee knees": "left_knee",
    "leg legs foot": "left_hip",
    "chest spine back bend": "spine1",
    "zoom scale size big small": "camera_scale",
    "position move translate x horizontal": "camera_x",
    "y vertical height": "camera_y",
}
"""Words that people try, and a parameter that does what they may mean."""
