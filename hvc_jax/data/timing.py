"""Frames at the times that a file gives them, as a clip of constant rate.

Streams of this codec have one rate. Phones in low light, webcams, recordings of screens and GIF do
not: there every frame of the constant rate shows the picture that was on the screen at its time,
so that the clip lasts as long as the source, to a frame.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

MAX_FPS = 60_000
"""Higher rates are time bases mistaken for frame rates."""

DEFAULT_FPS = Fraction(25)

LONGEST_PAUSE = 600.0
"""Seconds: a longer step of the timestamps, or one far back, is a jump of the clock, no pause."""

SHORTEST_FRAME = 5e-4
"""Seconds: a last frame that is said to last shorter has no duration that is known."""

LONGEST_SWAP = 0.5
"""Seconds by which timestamps may run backwards without another clock."""

_USUAL = [
    Fraction(n, d)
    for n, d in ((24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1), (50, 1), (60000, 1001))
] + [Fraction(n) for n in (5, 8, 10, 12, 15, 20, 48, 60, 90, 100, 120, 144, 200, 240, 480, 960)]


class Timing(NamedTuple):
    """How stored frames become frames of a clip."""

    fps: Fraction  # Frames per second of the clip
    constant: bool  # Whether every stored frame is one frame of the clip
    note: str = ""  # What a user should know, or ""


def timing_of(
    # Seconds at which the first frames of a file, or all, are shown; rising. Empty where the file
    # has no times.
    times: Sequence[float],
    declared: Fraction | None,  # The rate that the file names, None for none
    wanted: Fraction | None = None,  # The rate that the user wants; None for that of the file
    tick: float = 0.0,  # Seconds to which the times are rounded
) -> Timing:
    """Returns how frames at these times are read."""
    if declared is not None:
        declared = near_usual(float(declared), 1e-5, declared) if 0 < declared <= MAX_FPS else None
    shown = np.asarray(times, np.float64)
    all_steps = np.diff(shown)
    steps = all_steps[(all_steps > 1e-6) & (all_steps < LONGEST_PAUSE)]
    if not len(steps):
        fps = declared or DEFAULT_FPS
        return Timing(fps, True) if wanted in (None, fps) else Timing(wanted, False)
    # The rate of the densest tenth of the frames: nothing that moves is lost.
    mean, median, dense = 1 / steps.mean(), 1 / np.median(steps), 1 / np.quantile(steps, 0.1)
    fastest = near_usual(dense, 0.05)
    rates = [declared] if declared is not None else []
    rates += [near_usual(float(rate), 0.005) for rate in (mean, median)]
    constant = _first(rates, lambda rate: _strays(shown, rate, tick) < 0.25)
    finer = [rate for rate in sorted(_USUAL) if dense < rate < 2.1 * dense]
    variable = _first(
        [*rates[::-1], fastest, *finer],
        lambda rate: _off_slots(shown, rate, tick) < 0.25 and _shared_slots(shown, rate) <= 0.1,
    )
    if constant is None and variable is None:
        constant = _first(rates, lambda rate: _strays(shown, rate, tick) < 0.75)
    if constant is not None:
        if wanted in (None, constant):
            return Timing(constant, True)
        return Timing(wanted, False, f"{float(constant):.5g} frames/s brought to {wanted}")
    fps = wanted or variable or fastest
    shortest, longest = 1000 * all_steps.min(), 1000 * all_steps.max()
    note = (
        f"frames of {shortest:.0f} to {longest:.0f} ms (variable rate) "
        f"brought to {float(fps):.5g} frames/s by their times"
    )
    return Timing(fps, False, note)


def lasting(times: Sequence[float], fps: Fraction) -> int:
    """Returns how many frames `resampled` makes of frames at rising times in seconds, about."""
    steps = np.diff(np.asarray(times, np.float64))
    return 1 + round(float(np.where(steps < LONGEST_PAUSE, steps, 1 / fps).sum()) * float(fps))


def resampled(
    frames: Iterable[tuple[float | None, float, object]], fps: Fraction
) -> Iterator[object]:
    """Yields the items of a constant rate from items at arbitrary times.

    `frames`: (time in seconds or None, duration in seconds or 0, item), in the order they are
    shown. An item without a time follows the one before at once.
    """
    rate, first, shift = float(fps), None, 0.0
    held, due, last, ends = None, 0, 0.0, 0.0
    before, late = None, 0.0
    for time, duration, item in frames:
        if first is None:
            first = time = time or 0.0
        now = last + 1 / rate if time is None else time - first + shift
        # Two frames at one time (where one edit of a list follows another): the second is shown
        # after the first, and what follows a frame late, up to the next gap.
        if time is not None and time == before:
            late = 1 / rate
        elif now - last > 1.5 / rate:
            late = 0.0
        before, now = time, now + late
        if held is not None and last - LONGEST_SWAP < now < last:
            now = last  # times in disorder; what follows keeps its own
        if held is not None and not last - 0.5 / rate <= now <= last + LONGEST_PAUSE:
            jump = max(ends, last + 1 / rate) - now  # another clock: goes on without a pause
            shift, now = shift + jump, now + jump
        slot = int(np.floor(now * rate + 0.5))
        while held is not None and due < slot:
            yield held[0]
            due += 1
        held, last = (item,), now
        ends = now + (duration if SHORTEST_FRAME < duration < LONGEST_PAUSE else 1 / rate)
    if held is not None:
        # A last frame that begins in time for its slot is shown, however short.
        there = due == 0 or last * rate - 0.25 <= due < ends * rate - 0.05
        for _ in range(max(int(there), int(np.floor(ends * rate + 0.5)) - due)):
            yield held[0]


def _first(rates: Sequence[Fraction], fits: Callable[[Fraction], bool]) -> Fraction | None:
    return next((rate for rate in rates if fits(rate)), None)


def _strays(times: np.ndarray, rate: Fraction, tick: float) -> float:
    """The most frames by which frame i is shown beside i / rate, beyond the rounding of times."""
    slots = (times - times[0]) * float(rate)
    return float(np.abs(slots - np.arange(len(slots))).max()) - tick * float(rate)


def _off_slots(times: np.ndarray, rate: Fraction, tick: float) -> float:
    """The most frames by which any frame is shown beside a multiple of 1 / rate."""
    slots = (times - times[0]) * float(rate)
    return float(np.abs(slots - np.rint(slots)).max()) - min(tick * float(rate), 0.2)


def _shared_slots(times: np.ndarray, rate: Fraction) -> float:
    """The share of frames that another one displaces from its multiple of 1 / rate."""
    slots = np.floor((times - times[0]) * float(rate) + 0.5)
    return float(((np.diff(slots) == 0) & (np.diff(times) > 1e-6)).mean())


def near_usual(rate: float, tolerance: float, other: Fraction | None = None) -> Fraction:
    """The usual frame rate nearest to `rate`, or else `other`, or `rate` to a thousandth."""
    near = min(_USUAL, key=lambda usual: abs(float(usual) / rate - 1))
    if abs(float(near) / rate - 1) <= tolerance:
        return near
    return other or min(Fraction(rate).limit_denominator(1001), Fraction(MAX_FPS))
