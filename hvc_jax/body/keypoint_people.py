"""One person followed through frames with several. Imports no jax."""

from collections.abc import Sequence

import numpy as np

from hvc_jax.body.keypoint_layouts import PersonPoints

REACH = 0.5
"""Heights of a person that somebody may move from frame to frame and still be the same one."""
REACH_A_FRAME = 0.05
"""Heights more for every frame in between in which the person is not seen."""
SIZES = 2.5
"""Ratio of heights from which on it is somebody else."""


def follow(
    frames: Sequence[int],  # of each entry of `people`
    tracks: Sequence[int | None],  # the number that the file gives each, or None
    people: Sequence[PersonPoints],  # everybody in every frame
    # a track number, or a place among a frame's people; None for the main person
    person: int | None = None,
) -> dict[int, PersonPoints]:
    """Returns frame -> points of one person.

    The main person is who stands out most (largest and surest) in any frame; from there it goes
    forwards and backwards to the one of the same track number, else to whoever is nearest.

    Raises ValueError: there is no such person.
    """
    by_frame: dict[int, list[int]] = {}
    for k, frame in enumerate(frames):
        by_frame.setdefault(frame, []).append(k)
    out: dict[int, PersonPoints] = {}
    if people:
        several = max(map(len, by_frame.values())) > 1
        anchor = _anchor(by_frame, tracks, people, person)
        order = sorted(by_frame)
        start = order.index(frames[anchor])
        for path in (order[start:], order[start::-1]):
            last, when = anchor, frames[anchor]
            for frame in path:
                chosen = _nearest(by_frame[frame], last, frame - when, tracks, people, several)
                if chosen is not None:
                    out[frame] = people[chosen]
                    last, when = chosen, frame
    return out


def _anchor(
    by_frame: dict[int, list[int]],
    tracks: Sequence[int | None],
    people: Sequence[PersonPoints],
    person: int | None,
) -> int:
    """Returns the entry to begin at."""
    choice = range(len(people))
    if person is not None:
        known = {track for track in tracks if track is not None}
        listed = [k for k in choice if tracks[k] == person]
        if not known and person >= 0:
            listed = next(
                (ks[person : person + 1] for ks in by_frame.values() if person < len(ks)), []
            )
        if not listed:
            most = max(map(len, by_frame.values()))
            have = f"tracks {sorted(known)[:10]}" if known else f"0 to {most - 1}"
            raise ValueError(f"there is no person {person}; choose one of {have}")
        choice = listed
    return max(choice, key=lambda k: people[k].prominence)


def _nearest(
    candidates: list[int],
    last: int,
    steps: int,
    tracks: Sequence[int | None],
    people: Sequence[PersonPoints],
    several: bool,
) -> int | None:
    """Returns the candidate that goes on from the last one, or None where nobody does."""
    if last in candidates:
        return last
    same = [k for k in candidates if tracks[k] is not None and tracks[k] == tracks[last]]
    if same:
        return same[0]

    def apart(k: int) -> float:
        weight = people[k].confidence * people[last].confidence + 1e-6
        distance = np.linalg.norm(people[k].points - people[last].points, axis=-1)
        return float((weight * distance).sum() / weight.sum())

    best = min(candidates, key=apart)
    size, other = (max(people[k].height, 1e-9) for k in (last, best))
    reach = (REACH + REACH_A_FRAME * abs(steps)) * size
    stranger = apart(best) > reach or not 1 / SIZES < size / other < SIZES
    return None if several and stranger else best
