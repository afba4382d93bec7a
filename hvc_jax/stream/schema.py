"""The schemas in use: which numbers of a vector are sent, how finely, and what they are called.

Imports no jax.
"""

from collections.abc import Sequence

from hvc_jax.body.params import BODY_VECTOR_SIZE, VECTOR_INDEX, VECTOR_NAMES
from hvc_jax.stream.slots import Schema, Slot

__all__ = ["Schema", "Slot", "builtin_schema", "semantic_schema", "token_schema"]

_UPPER_JOINTS = (
    "pelvis",
    "neck",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
)
_BODY_JOINTS = VECTOR_NAMES[20 : 20 + 22 * 3]


def semantic_schema(kind: str = "upper31", camera: bool = True) -> Schema:
    """Returns the schema over the 188-number body vector.

    Args:
      kind: "upper31" (10 expression numbers, and pelvis, neck, head, shoulders, elbows as
        axis-angle: the size published for IHVC, arXiv 2505.16152; the split is ours) or "full_body"
        (10 expression numbers and all 22 body joints).
      camera: whether the camera triple is sent with every frame, not only with key frames.

    Raises ValueError: on an unknown kind.
    """
    if kind == "upper31":
        pose = tuple(f"{joint}_{axis}" for joint in _UPPER_JOINTS for axis in "xyz")
    elif kind == "full_body":
        pose = _BODY_JOINTS
    else:
        raise ValueError(f"unknown schema {kind!r}; choose upper31 or full_body")
    names = (*(f"expression_{i}" for i in range(10)), *pose)
    names += VECTOR_NAMES[-3:] if camera else ()
    sent = set(names)
    return Schema(
        name=kind + ("+camera" if camera else ""),
        size=BODY_VECTOR_SIZE,
        dynamic=tuple(_body_slot(name) for name in names),
        static=tuple(_body_slot(name) for name in VECTOR_NAMES if name not in sent),
    )


def token_schema(size: int = 32, steps: float | Sequence[float] = 0.1) -> Schema:
    """Returns the schema of a token of `size` learned numbers; `steps`: one, or one each."""
    each = [float(steps)] * size if isinstance(steps, int | float) else [float(s) for s in steps]
    if len(each) != size:
        raise ValueError(f"token schema of {size} numbers needs {size} steps, got {len(each)}")
    slots = tuple(Slot(f"token_{i}", i, "", step) for i, step in enumerate(each))
    return Schema(f"token{size}", size, slots)


def builtin_schema(name: str) -> Schema:
    """Returns the schema that a stream without a model names in its header.

    `name`: "upper31", "full_body", either with "+camera", or "token<size>".
    Raises ValueError: when there is no such schema.
    """
    kind, plus, extra = name.partition("+")
    if plus and extra != "camera":
        raise ValueError(f"unknown schema {name!r}")
    size = kind.removeprefix("token")
    if size != kind and not plus and size.isdecimal() and 1 <= int(size[:5]) <= 1024:
        return token_schema(int(size))
    return semantic_schema(kind, camera=bool(plus))


def _body_slot(name: str) -> Slot:
    """Returns the slot of one body vector entry with its default step.

    Turning the whole body moves every pixel and turning an elbow few, so steps differ; 0.006 of
    half a picture is 0.8 pixels at 256.
    """
    index = VECTOR_INDEX[name]
    if name.startswith("betas"):
        return Slot(name, index, "std", 0.1)
    if name.startswith("expression"):
        return Slot(name, index, "std", 0.25)
    if name.startswith("camera"):
        return Slot(name, index, "frame", 0.006, "velocity")
    if name.startswith("pelvis"):
        return Slot(name, index, "rad", 0.03, "velocity")
    return Slot(name, index, "rad", 0.05, "velocity")
