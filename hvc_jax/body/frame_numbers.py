"""Where the rows of a file belong: frame numbers out of names and ids, and ids among frames.

Trackers write nothing for frames in which nobody was found, so that the place of a row in its file
says little: what counts is the number that the row names. Imports no jax.
"""

import math
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

RARE = 4
"""Ids that reach beyond so many times the clip's length are no frame numbers."""


class FrameNumberError(ValueError):
    """Rows that cannot belong to the clip; a part of a sentence."""


def numbers_of(labels: Sequence[int | str]) -> list[int] | None:
    """Returns the number that each label names, or None where the labels have none that differ.

    Of names such as clip_000000000012_keypoints it is the last number that tells the names apart.
    `labels`: different whole numbers or names of pictures.
    """
    if all(isinstance(label, int) for label in labels):
        return [int(label) for label in labels]
    runs = [re.findall(r"\d{1,18}", _stem(str(label))) for label in labels]
    for place in range(1, 1 + min(map(len, runs), default=0)):
        found = [int(run[-place]) for run in runs]
        if len(set(found)) == len(found):
            return found
    return None


def _stem(name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.name if path.suffix[1:].isdigit() else path.stem


def natural(name: str) -> list[tuple[int, int | str]]:
    """Returns a key that sorts frame_2 before frame_10."""
    parts = re.split(r"(\d{1,18})", name)
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]


def place(
    labels: Sequence[int | str],  # all different
    frames: int,  # of the clip
    first: int = 0,  # the number of the first frame where the format says so
    # all labels in the order of the frames, where the file lists them
    order: Sequence[int | str] | None = None,
) -> list[int]:
    """Returns the frame of the clip that each label, a whole number or a picture's name, means.

    Numbers that all are frames of the clip are taken as they are (from 0, or from `first`); from 1
    where the highest is the number of frames. Others count from the smallest where they lie close
    together, or are ids in the order of the frames where they are far apart (COCO's file ids).

    Raises FrameNumberError: there are more labels than frames, or numbers beyond the clip.
    """
    if order:
        index = {label: k for k, label in enumerate(order)}
        if all(label in index for label in labels):
            return _within([index[label] for label in labels], frames)
    if len(labels) > frames:
        raise FrameNumberError(
            f"has keypoints of {len(labels)} frames, the clip {frames}; cut one of them"
        )
    numbers = numbers_of(labels)
    if not numbers:
        ranked = sorted(range(len(labels)), key=lambda k: natural(str(labels[k])))
        place_of = {k: place for place, k in enumerate(ranked)}
        return [place_of[k] for k in range(len(labels))]
    low, high = min(numbers), max(numbers)
    if first and low >= first:
        return _within([number - first for number in numbers], frames)
    if low >= 0 and high < frames:
        return numbers
    if low >= 1 and high == frames:
        return [number - 1 for number in numbers]
    if high - low < frames:
        return [number - low for number in numbers]
    if 0 <= low and high < RARE * frames:
        return _within(numbers, frames)
    rank = {number: k for k, number in enumerate(sorted(numbers))}
    return [rank[number] for number in numbers]


def place_times(times: Sequence[float], frames: int, fps: float) -> list[int]:
    """Returns the frame of the clip at each time, in seconds, milliseconds or microseconds.

    The unit is the one in which neighbours lie about a frame apart; times are not negative. Raises
    FrameNumberError: a time lies outside the clip.
    """
    if not all(0 <= time < 1e15 for time in times):
        raise FrameNumberError("has times that are none of a clip")
    order = sorted(set(times))
    step = min((b - a for a, b in zip(order[:-1], order[1:], strict=True)), default=order[-1])
    unit = min((1.0, 1e-3, 1e-6), key=lambda u: abs(math.log(max(step, 1e-9) * u * fps)))
    return _within([round(time * unit * fps) for time in times], frames)


def _within(numbers: list[int], frames: int) -> list[int]:
    if numbers and max(numbers) >= frames:
        raise FrameNumberError(
            f"names frame {max(numbers)}, the clip has {frames} frames (from 0); cut one of them"
        )
    return numbers
