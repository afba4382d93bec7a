"""Rows of parameters on a clip's frames: gaps filled in, other frame rates resampled."""

from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation


class Rows(NamedTuple):
    """T frames of a person: `pose` [T, 55, 3], radians; `rest` [T, N], interpolated linearly."""

    pose: np.ndarray
    rest: np.ndarray


def is_finite(rows: Rows) -> np.ndarray:
    """Returns [T] whether all of a row is a number of sensible size."""
    flat = np.concatenate([rows.pose.reshape(len(rows.pose), -1), rows.rest], 1)
    return (np.abs(flat) < 1e6).all(-1)  # NaN compares as false


def at_times(rows: Rows, known: np.ndarray, wanted: np.ndarray) -> Rows:
    """Returns K finite rows of increasing times `known` [K] at the times `wanted` [T].

    Rotations go along great circles; the ends are held.
    """
    after = np.searchsorted(known, wanted).clip(0, len(known) - 1)
    before = (after - (known[after] > wanted)).clip(0)
    span = np.maximum(known[after] - known[before], 1e-12)
    weight = ((wanted - known[before]) / span).clip(0, 1)
    exact = (weight == 0) | (before == after)
    pose = rows.pose[before]
    joints = pose.shape[1]
    if not exact.all():
        some = ~exact
        start = Rotation.from_rotvec(rows.pose[before[some]].reshape(-1, 3))
        end = Rotation.from_rotvec(rows.pose[after[some]].reshape(-1, 3))
        part = np.repeat(weight[some], joints)[:, None]
        step = Rotation.from_rotvec((start.inv() * end).as_rotvec() * part)
        pose[some] = (start * step).as_rotvec().reshape(-1, joints, 3)
    mixed = rows.rest[before] + weight[:, None] * (rows.rest[after] - rows.rest[before])
    return Rows(pose, np.where(exact[:, None], rows.rest[before], mixed))


def resampled(rows: Rows, rate: float, fps: float) -> Rows:
    """Returns rows of a constant `rate` a second at `fps` a second, over the same time.

    Rows that are not finite stay gaps: a row next to one of them is not finite either.
    """
    count = int(np.floor((len(rows.pose) - 1) / rate * fps + 0.01)) + 1
    times = np.arange(count) / fps * rate
    good = is_finite(rows)
    if not good.any():
        return Rows(rows.pose[:1].repeat(count, 0), rows.rest[:1].repeat(count, 0))
    out = at_times(Rows(rows.pose[good], rows.rest[good]), np.flatnonzero(good) * 1.0, times)
    low = np.floor(times + 1e-6).astype(int).clip(0, len(good) - 1)
    high = np.ceil(times - 1e-6).astype(int).clip(0, len(good) - 1)
    lost = ~(good[low] & good[high])
    out.pose[lost] = np.nan
    return out


def on_frames(rows: Rows, numbers: np.ndarray, frames: int) -> tuple[Rows, np.ndarray]:
    """Returns rows for each of T frames of a clip, and [T] confidence: 0 where they are filled in.

    `numbers` [K] are the frames of the rows; of several for one frame the first counts, rows that
    are not finite are left out. Raises ValueError: no row is left.
    """
    good = is_finite(rows) & (numbers >= 0)
    known, first = np.unique(numbers[good], return_index=True)
    if not len(known):
        raise ValueError("no frame has finite parameters")
    kept = Rows(rows.pose[good][first], rows.rest[good][first])
    confidence = np.zeros(frames, np.float32)
    confidence[known[known < frames]] = 1
    return at_times(kept, known.astype(np.float64), np.arange(frames, dtype=np.float64)), confidence
