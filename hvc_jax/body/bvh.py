"""Motion capture: BVH files read into rotations.

Angles in the file are degrees, Euler, intrinsic in channel order. Words and channel names may be in
any case, and numbers may have a decimal comma. What a file claims is checked against its size
before anything is made.
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from hvc_jax.ops.files import text_of

JOINTS_AT_MOST = 4096
CHANNELS_AT_MOST = 9
BYTES_AT_MOST = 256 << 20
HIERARCHY_AT_MOST = 4 << 20
"""Bytes before the motion: a thousand for every joint."""
LENGTH_AT_MOST = 1e6
VALUE_AT_MOST = 1e9
MATRICES_PER_NUMBER = 4
"""Rotation matrices of a motion for each number in its file, at most (usual is a third)."""


class Motion(NamedTuple):
    """A BVH file of J joints."""

    names: tuple[str, ...]  # parents before children
    parents: np.ndarray  # [J] int, -1 = root
    offsets: np.ndarray  # [J, 3] rest offset from the parent, in the file's unit
    rotations: np.ndarray  # [T, J, 3, 3] local rotation matrices
    # joint -> [T, 3] from its parent, in the file's unit; others are at their offset
    places: dict[int, np.ndarray]
    fps: float  # frames per second


_Skeleton = tuple[list[str], list[int], list[list[float]], list[list[tuple[str, bool]]]]


class _Broken(ValueError):
    """What is wrong with a file, in a few words."""


def read_bvh(path: str | Path) -> Motion:
    """Returns the motion of a BVH file; ValueError with its name: none, or damaged."""
    try:
        size = Path(path).stat().st_size
        if size > BYTES_AT_MOST:
            raise _Broken(f"has {size >> 20} MiB; cut it into parts of at most 256")
        # Where the start alone has too many joints, nothing more is read.
        if size > HIERARCHY_AT_MOST:
            _parts(text_of(path, HIERARCHY_AT_MOST))
        return _parse(text_of(path))
    except _Broken as error:
        raise ValueError(f"{path} {error}") from None
    except (IndexError, ValueError, StopIteration, OverflowError) as error:
        raise ValueError(f"{path} is not a complete BVH motion file; export it again") from error


def _parts(text: str) -> tuple[_Skeleton, int]:
    """Returns the joints of a file, and where its motion begins."""
    start = re.search(r"\bMOTION\s+(?=Frames\b)", text, re.IGNORECASE)
    skeleton = _hierarchy(text if start is None else text[: start.start()])
    if start is None:
        raise ValueError
    return skeleton, start.end()


def _number(text: str) -> float:
    return float(text.rstrip(",").replace(",", "."))


def _numbers(text: str) -> np.ndarray:
    """Returns the numbers of text, whose commas stand for points, or between numbers."""
    if "," in text:
        text = text.replace(",", " " if "." in text or re.search(r",\s", text) else ".")
    with warnings.catch_warnings():  # what follows the last number is seen by the count
        warnings.simplefilter("ignore", DeprecationWarning)
        return np.fromstring(text, np.float64, sep=" ")


def _parse(text: str) -> Motion:
    (names, parents, offsets, channels), start = _parts(text)
    head = re.compile(r"\s*Frames\s*:\s*(\S+)\s+Frame\s+Time\s*:\s*(\S+)", re.IGNORECASE)
    found = head.match(text, start)
    if found is None:
        raise ValueError
    frames, seconds = int(found[1]), _number(found[2])
    if not 1e-5 <= seconds <= 1e3:
        raise _Broken(f"has a frame time of {found[2][:20]} s; export it with its frame rate")
    width = sum(len(c) for c in channels)
    if frames < 1 or not width:
        raise _Broken("has no frames; export it again")
    values = _numbers(text[found.end() :])
    if frames * width != values.size:
        raise _Broken(
            f"says {frames} frames of {width} numbers and holds {values.size}; export it again"
        )
    if frames * len(names) > MATRICES_PER_NUMBER * values.size:
        raise _Broken("has hardly any channels for its joints; export it again")
    values = values[: frames * width].reshape(frames, width)
    good = np.abs(values) < VALUE_AT_MOST
    if not good.all():
        frame = int(np.argmin(good.all(1)))
        raise _Broken(f"has a number that is not finite in frame {frame}; fill it in or cut it")
    rotations, places = _moved(values, channels, offsets)
    return Motion(
        tuple(names), np.array(parents), np.array(offsets), rotations, places, 1 / seconds
    )


def _hierarchy(text: str) -> _Skeleton:
    """Returns names, parents, offsets and (axis, is it a rotation) channels of the joints."""
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[list[tuple[str, bool]]] = []
    stack: list[int] = []
    words = (match[0] for match in re.finditer(r"[{}]|[^\s{}]+", text))
    for word in words:
        kind = word.upper()
        if kind in ("ROOT", "JOINT"):
            if len(names) >= JOINTS_AT_MOST:
                raise _Broken(f"has more than {JOINTS_AT_MOST} joints; export the body alone")
            names.append(" ".join(itertools.takewhile(lambda w: w != "{", words)))
            parents.append(stack[-1] if stack else -1)
            offsets.append([0.0, 0.0, 0.0])
            channels.append([])
            stack.append(len(names) - 1)
        elif kind == "END":  # an end site: its OFFSET is not a joint's
            for _ in itertools.takewhile(lambda w: w != "{", words):
                pass
            stack.append(-2)
        elif word == "}":
            stack.pop()
        elif kind == "OFFSET":
            offset = [_number(next(words)) for _ in range(3)]
            if not np.abs(offset).max() < LENGTH_AT_MOST:
                raise _Broken("has a bone whose length is not finite; export it again")
            if stack[-1] != -2:
                offsets[stack[-1]] = offset
        elif kind == "CHANNELS":
            channels[stack[-1]] = _channels(words)
    if -2 in parents or not names:
        raise ValueError
    return names, parents, offsets, channels


def _channels(words: Iterator[str]) -> list[tuple[str, bool]]:
    count = next(words)
    if not count.isdecimal() or len(count) > 3 or int(count) > CHANNELS_AT_MOST:
        raise _Broken(f"has a joint with {count[:20]} channels; export it again")
    found = []
    for _ in range(int(count)):
        name = next(words)
        match = re.fullmatch(r"([XYZ])(position|rotation|scale)", name, re.IGNORECASE)
        if match is None:
            raise _Broken(
                f"has a channel {name[:20]!r}; X, Y, Z with position or rotation are known"
            )
        axis, what = match[1].upper(), match[2].lower()
        found.append(("" if what == "scale" else axis, what == "rotation"))
    return found


def _moved(
    values: np.ndarray, channels: list[list[tuple[str, bool]]], offsets: list[list[float]]
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Returns local rotations [T, J, 3, 3] and the `places` of a `Motion`."""
    frames = len(values)
    rotations = np.tile(np.eye(3), (frames, len(channels), 1, 1))
    places: dict[int, np.ndarray] = {}
    columns = iter(values.T)
    for joint, joint_channels in enumerate(channels):
        for axis, is_rotation in joint_channels:
            column = next(columns)
            if is_rotation:
                turn = Rotation.from_euler(axis, column[:, None], degrees=True).as_matrix()
                rotations[:, joint] = rotations[:, joint] @ turn
            elif axis:
                place = places.setdefault(joint, np.tile(offsets[joint], (frames, 1)))
                place[:, "XYZ".index(axis)] = column
    return rotations, places
