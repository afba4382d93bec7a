"""Which frames the rows of a record are of, and how many there are a second."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from hvc_jax.body.files import BodyFileError
from hvc_jax.body.parameter_trees import FRAME_IDS

_RATE = re.compile(r"(mocap)?(framerate|fps)")
_TIME = re.compile(r"(mocap)?(frametime|dt)")
_MASKS = ("valid", "valid_mask", "frame_mask", "mask", "tracked", "detected", "visible")


def numbered(
    raw: Mapping[str, np.ndarray], rows: int, path: Any
) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns [rows] whether each counts, and its frame (None: in order); BodyFileError: no fit."""
    valid, numbers = np.ones(rows, bool), None
    for name in _MASKS:
        mask = raw.get(name, np.zeros(0)).reshape(-1)
        if mask.dtype.kind != "b":
            continue
        if len(mask) == rows:
            valid &= mask
        elif mask.sum() == rows:  # of the clip's frames those that have a row
            numbers = np.flatnonzero(mask)
    name = next((n for n in FRAME_IDS if n in raw and raw[n].size > 1), None)
    if name is None or rows == 1:
        return valid, numbers
    ids = raw[name].reshape(-1)
    if len(ids) != rows:
        if raw[name].ndim > 2:  # pictures
            return valid, numbers
        raise BodyFileError(f"{path}: field {name!r} numbers {len(ids)} rows, the pose has {rows}")
    if not (np.isfinite(ids) & (ids >= 0) & (ids < 1e9)).all():
        raise BodyFileError(f"{path}: its {name} are no frame numbers")
    return valid, ids.astype(np.int64)


def rate_of(raw: Mapping[str, np.ndarray], path: Any) -> float | None:
    """Returns rows a second, None where it is not said; BodyFileError: no rate of a clip."""
    for name, value in raw.items():
        plain = re.sub(r"[^a-z]", "", name.lower())
        if value.size != 1 or not (_RATE.fullmatch(plain) or _TIME.fullmatch(plain)):
            continue
        rate = float(value.reshape(-1)[0])
        if _TIME.fullmatch(plain):
            rate = 1 / rate if rate > 0 else 0.0
        if not 0.1 <= rate <= 10_000:
            raise BodyFileError(f"{path}: field {name!r} says {rate:g} frames/s")
        return rate
    return None
