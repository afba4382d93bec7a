"""Which coefficients describe the displacement fields of a group of frames. Imports no jax.

A group is a run of frames without its key pictures. Every frame looks into the nearest past key
picture, the nearest future one, or both. A *segment* is a run of frames with the same two keys.
The motion of a segment is described by *planes*, each a two-dimensional transform of rows x columns
of one component at one temporal frequency:

- PATH (one key): the displacement u(t) into that key, t = 1 .. m counted from it, is
  sum_k plane_k phi_k(t) with the sines of DST-VII, which start at 0 at the key and are what a
  random walk is best coded with.
- BRIDGE (two keys, n = m + 1 frames apart): plane 0 is the motion between the keys, spread evenly
  in time: a ramp, u(t) = t / n into the past key, v(t) = t / n - 1 into the future one. Planes
  k = 1 .. m are deviations that both share, the sines sin(pi k t / n), 0 at both keys.
- CORRECTION (two keys): what v(t) lacks, DST-VII counted back from the future key.
- BLEND (two keys): added to the logit of the past key's share, DCT-II over the m frames.
"""

from typing import NamedTuple

import numpy as np

PATH, BRIDGE, CORRECTION, BLEND = range(4)
KINDS = ("path", "bridge", "correction", "blend")
OUTPUTS = 5
"""Fields of a frame: displacement into the past key (x, y), into the future key (x, y), blend."""

BOTH, PAST, FUTURE = range(3)
"""What a frame of a segment with two keys is made of."""


class Segment(NamedTuple):
    """A run of frames that look into the same keys."""

    start: int  # its first frame, counted in the group
    length: int
    past: bool  # whether there is a past key
    future: bool  # whether there is a future key


class Plane(NamedTuple):
    """One plane of coefficients: segment, kind, temporal frequency and component (0 x, 1 y)."""

    segment: int
    kind: int
    frequency: int
    component: int


def segments(past: np.ndarray, future: np.ndarray) -> list[Segment]:
    """Segments of a group by the keys of each frame [T] int, -1 for none; ValueError: neither."""
    pairs = list(zip(np.asarray(past).tolist(), np.asarray(future).tolist(), strict=True))
    found: list[Segment] = []
    for t, (p, f) in enumerate(pairs):
        if p < 0 and f < 0:
            raise ValueError(f"frame {t} of the group refers to no key picture")
        if t and pairs[t - 1] == (p, f):
            found[-1] = found[-1]._replace(length=found[-1].length + 1)
        else:
            found.append(Segment(t, 1, p >= 0, f >= 0))
    return found


def planes(parts: list[Segment]) -> list[Plane]:
    """All planes of a group in the order in which they are coded."""
    found = []
    for s, part in enumerate(parts):
        m = part.length
        if part.past and part.future:
            found += [Plane(s, BRIDGE, k, c) for k in range(m + 1) for c in range(2)]
            found += [Plane(s, CORRECTION, k, c) for k in range(m) for c in range(2)]
            found += [Plane(s, BLEND, k, 0) for k in range(m)]
        else:
            found += [Plane(s, PATH, k, c) for k in range(m) for c in range(2)]
    return found


def sines(count: int) -> np.ndarray:
    """DST-VII, orthonormal: [count frequencies, count times 1 .. count]."""
    k, t = np.arange(count)[:, None], np.arange(1, count + 1)[None]
    return 2 / np.sqrt(2 * count + 1) * np.sin(np.pi * (2 * k + 1) * t / (2 * count + 1))


def cosines(count: int) -> np.ndarray:
    """DCT-II, orthonormal: [count frequencies, count places]."""
    k, t = np.arange(count)[:, None], np.arange(count)[None]
    matrix = np.sqrt(2 / count) * np.cos(np.pi * (2 * t + 1) * k / (2 * count))
    matrix[0] /= np.sqrt(2)
    return matrix


def bridge(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The ramp and the shared sines of `count` frames between two keys.

    Returns what they add to u and to v, two arrays [count + 1 planes, count times]. A plane's
    energy, the mean of both, is 1.
    """
    n = count + 1
    t = np.arange(1, n)
    k = np.arange(1, n)[:, None]
    shared = np.sqrt(2 / n) * np.sin(np.pi * k * t / n)
    ramp = np.stack([t / n, t / n - 1])
    ramp *= np.sqrt(2 / np.sum(ramp**2))
    return np.vstack([ramp[:1], shared]), np.vstack([ramp[1:], shared])


def time_matrix(parts: list[Segment]) -> np.ndarray:
    """What every plane adds to every field of every frame: [T, OUTPUTS, planes] float64."""
    rows = planes(parts)
    matrix = np.zeros((sum(p.length for p in parts), OUTPUTS, len(rows)))
    lengths = {part.length for part in parts}
    path, linked, blend = ({m: made(m) for m in lengths} for made in (sines, bridge, cosines))
    for n, (s, kind, k, c) in enumerate(rows):
        start, m, past, _ = parts[s]
        frames = slice(start, start + m)
        if kind == PATH:
            matrix[frames, c if past else 2 + c, n] = path[m][k][:: 1 if past else -1]
        elif kind == BRIDGE:
            into_past, into_future = linked[m]
            matrix[frames, c, n] = into_past[k]
            matrix[frames, 2 + c, n] = into_future[k]
        elif kind == CORRECTION:
            matrix[frames, 2 + c, n] = path[m][k][::-1]
        else:
            matrix[frames, 4, n] = blend[m][k]
    return matrix
