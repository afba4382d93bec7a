"""Landmarks as JSON, in the layout that MediaPipe's users know; `--keypoints` reads it back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hvc_jax.body.parameter_cameras import View
from hvc_jax.pose.sight import Sight

_DIGITS = 5


def landmarks_json(scenes: Sequence[tuple[int, Sight | None]], view: View, fps: float) -> str:
    """Returns the landmarks of a clip as JSON text.

    "frames" is a list of objects with "frame" (from 0), "presence" in [0, 1], "pose_landmarks", 33
    of x and y as fractions of the whole picture and visibility in [0, 1], and
    "pose_world_landmarks", 33 of x, y and z in metres from the middle of the hips, y down and z
    away from the viewer. Frames without anybody are left out. `scenes` are the first frame of each
    and what is seen in it, None for nobody; `view` is how the square that was looked at was cut out
    of the picture.
    """
    frames = [
        frame
        for first, sight in scenes
        if sight is not None
        for frame in _frames(first, sight, view)
    ]
    return json.dumps({"fps": fps, "frames": frames}, indent=1) + "\n"


def _frames(first: int, sight: Sight, view: View) -> Iterator[dict[str, Any]]:
    picture = 0.5 + sight.points * view.side / 2 / np.array([view.width, view.height])
    world = sight.world * np.array([1.0, -1.0, -1.0])
    for t, seen in enumerate(sight.visibility):
        flat, metric = (np.column_stack([rows[t], seen]) for rows in (picture, world))
        yield {
            "frame": first + t,
            "presence": round(float(sight.presence[t]), _DIGITS),
            "pose_landmarks": _rows(flat, ("x", "y", "visibility")),
            "pose_world_landmarks": _rows(metric, ("x", "y", "z", "visibility")),
        }


def _rows(values: np.ndarray, names: tuple[str, ...]) -> list[dict[str, Any]]:
    return [dict(zip(names, map(float, row.round(_DIGITS)), strict=True)) for row in values]
