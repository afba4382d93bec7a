"""The order of keypoints by their names, where a file gives them. Imports no jax."""

import re
from collections.abc import Sequence

_SIDES = ("left", "right")
_COCO = "nose,eye,ear,shoulder,elbow,wrist,hip,knee,ankle"
_BLAZE = (
    *("nose", "lefteyeinner", "lefteye", "lefteyeouter", "righteyeinner", "righteye"),
    *("righteyeouter", "leftear", "rightear", "leftmouth", "rightmouth"),
    *(
        side + part
        for part in "shoulder,elbow,wrist,pinky,index,thumb,hip,knee,ankle,heel,footindex".split(
            ","
        )
        for side in _SIDES
    ),
)
NAMES: dict[int, tuple[str, ...]] = {
    17: ("nose", *(side + part for part in _COCO.split(",")[1:] for side in _SIDES)),
    33: _BLAZE,
}
"""Number of keypoints -> plain names in their order: COCO-17, BlazePose-33."""
_PARTS = {name.removeprefix("left").removeprefix("right") for name in (*NAMES[17], *NAMES[33])}
_ENOUGH = 6
"""Names of COCO from which on it is a person's points that are named."""


def plain(name: str) -> str:
    """Returns a name as in `NAMES`: leftShoulder, LShoulder, shoulder_l, Left Shoulder are one."""
    text = re.sub(r"[^a-z0-9]", "", name.lower())
    for side in _SIDES:
        for short in (side, side[0]):
            for rest in (text.removeprefix(short), text.removesuffix(short)):
                if rest != text and rest in _PARTS:
                    return side + rest
    return text


def order_of(names: Sequence[str]) -> list[int] | None:
    """Returns the place among `names` of each point of a layout; None for names of another kind.

    Raises:
      ValueError: they are names of a body's joints, as many as COCO has, and others than COCO's.
    """
    found = [plain(name) for name in names]
    known = NAMES.get(len(found))
    if known is None:
        return None
    if set(found) == set(known):
        return [found.index(name) for name in known]
    if len(found) == 17 and len(set(found) & set(known)) >= _ENOUGH:
        other = ", ".join(name[:20] for name in names if plain(name) not in known)
        raise ValueError(f"17 points that are not COCO's ({other[:100]})")
    return None


def coco_places(names: Sequence[str]) -> dict[str, int] | None:
    """Returns COCO's plain name -> place among `names`, where enough of them are there."""
    found = {plain(name): k for k, name in enumerate(names)}
    places = {name: found[name] for name in NAMES[17] if name in found}
    return places if len(places) >= _ENOUGH else None
