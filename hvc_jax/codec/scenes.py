"""The bodies of a clip as the encoder wants them: scene by scene, and how far each is trusted."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from hvc_jax.body.params import BODY_VECTOR_SIZE
from hvc_jax.codec.options import CodecError
from hvc_jax.data.cuts import CutDetector, scene_starts
from hvc_jax.pose.appearance import Reference
from hvc_jax.pose.confidence import SURE

if TYPE_CHECKING:
    from hvc_jax.pose.estimator import Before

_LASTING = 12
"""Frames that a person has to be seen for, to be worth a key picture."""


class BodyFinder:
    """Bodies of the frames of a clip, a chunk after the other.

    Nothing is smoothed across a cut. The first frame of a scene whose body is trusted is the
    reference for what follows: later chunks keep its shape and look for its colours.
    """

    def __init__(self, effort: int) -> None:
        self._effort, self._cuts = effort, CutDetector()
        self._reference: Reference | None = None
        self._before: Before | None = None

    def __call__(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Body vectors [T, 188] and confidence [T] of the next frames [T, H, H, 3] uint8."""
        from hvc_jax.pose.estimator import estimate  # networks that are read if needed

        starts = scene_starts(pictures, self._cuts)
        vectors, trust = [], []
        for first, last in zip([0, *starts], [*starts, len(pictures)], strict=True):
            if first in starts:
                self._reference = self._before = None
            if first == last:
                continue
            scene = pictures[first:last]
            found = estimate(scene, self._effort, self._reference, before=self._before)
            self._before, sure = found.last, found.confidence >= SURE
            if self._reference is None and sure.any():
                at = int(np.argmax(sure))
                self._reference = Reference(scene[at], found.bodies[at])
            vectors.append(found.bodies)
            trust.append(found.confidence)
        return np.concatenate(vectors).astype(np.float32), np.concatenate(trust)


def given_bodies(bodies: Iterator[np.ndarray], count: int) -> np.ndarray:
    """The next body vectors [count, 188] float32 that the caller gives; CodecError: fewer."""
    vectors = np.array(list(itertools.islice(bodies, count)), np.float32)
    if vectors.shape != (count, BODY_VECTOR_SIZE):
        raise CodecError(
            f"the body vectors are not {BODY_VECTOR_SIZE} numbers for every frame; "
            "estimate them again for this clip"
        )
    return vectors


def lasting(trust: np.ndarray) -> np.ndarray:
    """Whether, by confidence [T], a person is surely seen for a while from each frame on."""
    sure = np.asarray(trust) >= SURE
    run, out = 0, np.zeros(len(sure), bool)
    for t in range(len(sure) - 1, -1, -1):
        run = run + 1 if sure[t] else 0
        out[t] = run >= _LASTING
    return out
