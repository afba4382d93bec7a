"""The motion of a body file, as values for the parameters of a stream."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hvc_jax.body.files import BodyFileError
from hvc_jax.body.parameter_files import load_parameters
from hvc_jax.body.params import JOINT_NAMES, NUM_BODY_JOINTS, POSE, VECTOR_INDEX

SUFFIXES = (".bvh", ".npz", ".npy", ".pkl", ".pt", ".json")
"""Of files that hold bodies and are no streams."""


class Drive(NamedTuple):
    """Motion for a stream."""

    values: np.ndarray  # [T, N], for every named parameter; 0 for those that the file does not move
    moved: tuple[str, ...]  # names of the joints that the file moves, at least one
    notes: tuple[str, ...]  # sentences on what was assumed


def load_drive(
    path: str | os.PathLike, names: Sequence[str], fps: float, person: int | None = None
) -> Drive:
    """Returns the motion of a file that `load_parameters` reads, for the parameters of a stream.

    The rotations of the body's joints move, and those of hands and face that the file turns at all;
    shape, expression and camera stay those of the stream. `names` are the stream's parameters, as
    in `VECTOR_NAMES`, `fps` its rate; `person` is which of several. Raises BodyFileError: the file
    cannot be read, or moves nothing that the stream sends.
    """
    found = load_parameters(path, fps=fps, person=person)
    body = {f"{joint}_{axis}" for joint in JOINT_NAMES[:NUM_BODY_JOINTS] for axis in "xyz"}
    values = np.zeros((len(found.bodies), len(names)))
    moved = []
    for k, name in enumerate(names):
        index = VECTOR_INDEX.get(name, -1)
        if not POSE.start <= index < POSE.stop:
            continue
        column = found.bodies[:, index]
        if name in body or column.any():
            values[:, k] = column
            moved.append(name.rpartition("_")[0])
    if not moved:
        raise BodyFileError(f"{path} moves nothing that the stream sends; encode one with bodies")
    notes = tuple(note for note in found.notes if "camera" not in note)
    return Drive(values, tuple(dict.fromkeys(moved)), notes)
