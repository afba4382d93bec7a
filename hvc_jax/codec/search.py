"""The encoder of displacement fields: levels chosen by rate-distortion through the real decoder.

    found = encode_group(frames, references, FieldOptions(lmbda=0.1))
    found.payload                                     # for `field_group.decode_fields`

The fields of a whole group are found together, from coarse pictures and smooth fields to finer
ones, by Levenberg-Marquardt on squared error + lmbda * log-rate (`models.motion.field_fit`), then
made integers against the costs of the real coder (`models.motion.field_integers`). What is kept is
judged by real bytes. Nothing is random.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.codec.field_group import (
    GroupReferences,
    fields_of,
    render,
    shares,
    transformed_prediction,
)
from hvc_jax.models.motion import field, field_fit, field_integers
from hvc_jax.ops import bicubic
from hvc_jax.stream.field import STEPS, FieldLevels, encode_levels, level_costs
from hvc_jax.stream.field_contexts import MAX_LEVEL
from hvc_jax.stream.field_layout import BRIDGE, PATH, Segment, planes, segments

ROUNDED_UP_FROM = 0.6
"""Fitted levels become integers as if fractions below this were zero; what is lost is found again
by the search over integers."""
ROUND_DAMPING = 0.5
"""Of segments that a round of the search over integers made worse, relative to the diagonal."""
FEWEST_PICTURES = 16
"""Key pictures of a long group are filled up to it, so that few shapes are compiled."""
FORBIDDEN = 1e6
"""Penalty, in squared error a bit, of levels that a stage leaves alone."""


class Stage(NamedTuple):
    """A stretch of the descent."""

    shorter_side: int  # pixels of the pictures' shorter side that the stage looks at, about
    limit: int  # frequencies of rows and columns below it take part
    motion_only: bool  # whether correction and blend planes wait
    rarity: float  # of `field_fit.solve`: the log-rate of a level is log2(1 + rarity level^2)
    steps: int  # how often the pictures are warped


EFFORTS: tuple[tuple[tuple[Stage, ...], int], ...] = (
    ((Stage(64, 6, True, 10, 4), Stage(64, 16, False, 40, 3)), 1),
    (
        (
            Stage(64, 4, True, 10, 3),
            Stage(64, 8, True, 10, 2),
            Stage(128, 16, False, 40, 2),
        ),
        5,
    ),
    (
        (
            Stage(64, 4, True, 10, 3),
            Stage(128, 8, True, 10, 3),
            Stage(128, 16, False, 10, 4),
            Stage(128, 16, False, 40, 5),
        ),
        4,
    ),
    (
        (
            Stage(64, 4, True, 10, 4),
            Stage(128, 8, True, 10, 5),
            Stage(128, 16, False, 10, 8),
            Stage(128, 16, False, 40, 8),
            Stage(256, 16, False, 40, 4),
        ),
        6,
    ),
)
"""Stages, and rounds of the search over integers, of every effort."""


@dataclasses.dataclass(frozen=True)
class FieldOptions:
    """How fields are chosen."""

    # mean squared error (8-bit steps squared, mean over a frame's pixels and colours, summed over
    # frames) that saving one bit may cost
    lmbda: float = 0.1
    grid: tuple[int, int] = (16, 16)  # rows and columns of control points
    step: int = 4  # index into `stream.field.STEPS` of the quantiser's step
    effort: int = 1  # 0 (fast) to 3

    def __post_init__(self) -> None:
        if not self.lmbda > 0:
            raise ValueError(f"lmbda is {self.lmbda}; give squared error per bit, above 0")
        if not all(1 <= n <= 64 for n in self.grid):
            raise ValueError(f"the grid is {self.grid}; give 1 to 64 rows and columns")
        if not 0 <= self.step < len(STEPS):
            raise ValueError(f"step is {self.step}; give 0 to {len(STEPS) - 1}")
        if not 0 <= self.effort < len(EFFORTS):
            raise ValueError(f"effort is {self.effort}; give 0 to {len(EFFORTS) - 1}")


class EncodedGroup(NamedTuple):
    """A group as coded."""

    payload: bytes  # its bytes
    control_points: np.ndarray  # [T, R, C, 5] float32, as decoded; see `field_group.decode_fields`
    frames: np.ndarray  # [T, H, W, 3] uint8 as decoded
    cost: float  # squared error of the decoded frames + lmbda * bits


_descend = jax.jit(field_fit.descend)
_settle = jax.jit(field_fit.settle)
_linearise = jax.jit(field_fit.linearise)
_improve = jax.jit(field_integers.improve, static_argnames="passes")
_better = jax.jit(field_integers.better, static_argnames="count")
_prepare = jax.jit(bicubic.prepare)


def _padded(count: int) -> int:
    """The next power of two, so that few shapes are compiled."""
    return 1 << max(count - 1, 0).bit_length()


def _grow(x: np.ndarray, count: int, value: float = 0) -> np.ndarray:
    return np.concatenate([x, np.full((count - len(x), *x.shape[1:]), value, x.dtype)])


def _shrink(pictures: np.ndarray, factor: int) -> np.ndarray:
    """[N, H, W, 3] uint8 -> [N, H / factor, W / factor, 3] float32, the mean of each block."""
    count, height, width, _ = pictures.shape
    shape = (count, height // factor, factor, width // factor, factor, 3)
    return pictures.reshape(shape).mean((2, 4), dtype=np.float32)


class _Group:
    """Frames, references and segments of a group, padded, at every resolution that is asked for."""

    def __init__(self, frames, references: GroupReferences, options, prediction) -> None:
        self.frames, self.references, self.options = frames, references, options
        self.parts: list[Segment] = segments(references.past, references.future)
        self.planes = planes(self.parts)
        self.two = bool((np.asarray(references.future) >= 0).any())
        self.outputs = 5 if self.two else 2
        self.count = _padded(len(frames))
        self.rows = (7 if self.two else 2) * self.count
        synthesis = field.synthesis_matrix(self.parts, STEPS[options.step])[:, : self.outputs]
        synthesis = _grow(synthesis, self.count)
        self.synthesis = jnp.asarray(
            np.pad(synthesis, ((0, 0), (0, 0), (0, self.rows - synthesis.shape[2])))
        )
        start = transformed_prediction(prediction, len(frames), *options.grid)
        self.prediction = jnp.asarray(_grow(start[:, : self.outputs], self.count))
        lengths = [p.length for p in self.parts]
        of_frame = np.repeat(np.arange(len(lengths)), lengths).astype(np.int32)
        of_plane = np.array([p.segment for p in self.planes], np.int32)
        self._problems: dict[int, field_fit.Problem] = {}
        self.frame_segment = jnp.asarray(_grow(of_frame, self.count, self.count - 1))
        self.plane_segment = jnp.asarray(_grow(of_plane, self.rows, self.count - 1))

    def problem(self, shorter_side: int) -> field_fit.Problem:
        """The group at the resolution nearest to `shorter_side`."""
        if shorter_side not in self._problems:
            self._problems[shorter_side] = self._at(shorter_side)
        return self._problems[shorter_side]

    def _at(self, shorter_side: int) -> field_fit.Problem:
        height, width = self.frames.shape[1:3]
        factor = 1
        while (
            min(height, width) // factor > shorter_side
            and height % (8 * factor) == width % (8 * factor) == 0
        ):
            factor *= 2
        references = self.references
        index = [
            jnp.asarray(_grow(np.maximum(x, 0).astype(np.int32), self.count))
            for x in (references.past, references.future)
        ]
        share = jnp.asarray(_grow(shares(references), self.count))
        pictures = np.asarray(references.pictures)
        pictures = _grow(pictures, max(_padded(len(pictures)), min(self.count, FEWEST_PICTURES)))
        weight = np.ones((len(self.frames), height // factor, width // factor), np.float32)
        return field_fit.Problem(
            _prepare(jnp.asarray(_shrink(pictures, factor))),
            jnp.asarray(_grow(_shrink(self.frames, factor), self.count)),
            jnp.asarray(_grow(weight, self.count)),
            field.References(*index, share),
            self.prediction,
            self.synthesis,
            jnp.float32(1 / factor),
        )

    def allowed(self, stage: Stage | None = None) -> np.ndarray:
        """Which levels may be other than zero: [planes, R, C] bool, padded."""
        grid = self.options.grid
        limit, motion_only = (stage.limit, stage.motion_only) if stage else (64, False)
        low = np.maximum(*np.meshgrid(*(np.arange(n) for n in grid), indexing="ij")) < limit
        free = [not motion_only or p.kind in (PATH, BRIDGE) for p in self.planes]
        return _grow(np.array(free)[:, None, None] & low, self.rows, False)

    def value(self, levels: np.ndarray) -> FieldLevels:
        """Levels without their padding, as what is coded."""
        whole = np.asarray(levels)[: len(self.planes)].astype(np.int32)
        return FieldLevels(whole, np.zeros(len(self.frames), np.uint8), self.options.step)

    def bytes_of(self, value: FieldLevels) -> bytes:
        return encode_levels(self.parts, value, self.options.step)


def _fit(group: _Group, stages: tuple[Stage, ...]) -> np.ndarray:
    """Levels [planes, R, C] float, by descent."""
    levels = jnp.zeros((group.rows, *group.options.grid), jnp.float32)
    for stage in stages:
        problem = group.problem(stage.shorter_side)
        penalty = np.where(group.allowed(stage), group.options.lmbda, FORBIDDEN)
        penalty = jnp.asarray(penalty, jnp.float32)
        rarity = jnp.full(levels.shape, stage.rarity, jnp.float32)
        state = field_fit.begin(problem, levels, group.count)
        for _ in range(stage.steps):
            model = _linearise(problem, state.trial)
            state = _descend(
                problem, state, model, group.frame_segment, group.plane_segment, penalty, rarity
            )
        levels = state.trial  # not evaluated yet; the next stage does that
    parts = group.frame_segment, group.plane_segment
    return np.asarray(_settle(problem, state, *parts, penalty, rarity))


def _within(levels: np.ndarray) -> np.ndarray:
    """Levels that the stream can say: descent goes astray where a camera sways."""
    return np.clip(np.nan_to_num(levels), -MAX_LEVEL, MAX_LEVEL)


def _integers(group: _Group, levels: np.ndarray, side: int, rounds: int) -> FieldLevels:
    """Integer levels near fitted ones: of all that were looked at, those of the lowest cost.

    The model of the error holds nearby: segments that got worse go back and are damped more.
    """
    lmbda = group.options.lmbda
    problem, allowed = group.problem(side), jnp.asarray(group.allowed())
    levels = _within(np.sign(levels) * np.floor(np.abs(levels) + 1 - ROUNDED_UP_FROM))
    model, damping = _linearise(problem, levels), np.zeros(group.count)
    best, lowest = group.value(np.zeros_like(levels)), np.inf
    for turn in range(rounds + 1):
        value = group.value(levels)
        cost = float(model.error.sum()) + lmbda * 8 * len(group.bytes_of(value))
        if cost < lowest:
            best, lowest = value, cost
        if turn < rounds:
            costs = level_costs(group.parts, value)
            costs = np.pad(costs, ((0, 0), (0, group.rows - costs.shape[1]), (0, 0), (0, 0)))
            given = costs, lmbda, allowed, group.plane_segment, damping
            ahead = _within(np.asarray(_improve(problem, model, levels, *given, passes=60)))
            trial = ahead, _linearise(problem, ahead)
            parts = group.frame_segment, group.plane_segment
            (levels, model), better = _better(
                trial, (levels, model), costs, lmbda, *parts, count=group.count
            )
            damping = np.where(better, damping / 4, 4 * damping + ROUND_DAMPING)
    return best


def encode_group(
    frames: np.ndarray,  # [T, H, W, 3] uint8, without key pictures
    references: GroupReferences,  # key pictures as coded and what the frames look into
    options: FieldOptions,  # lmbda, grid, step and effort
    # as in `field_group.transformed_prediction`; the decoder needs the same
    prediction: np.ndarray | None = None,
) -> EncodedGroup:
    """A group of frames coded as displacement fields.

    Raises ValueError: a frame without a key picture, or shapes that do not fit.
    """
    stages, rounds = EFFORTS[options.effort]
    group = _Group(np.asarray(frames), references, options, prediction)
    levels = _fit(group, stages)
    value = _integers(group, levels, stages[-1].shorter_side, rounds)
    payload = group.bytes_of(value)
    points = fields_of(value, references, prediction)
    made = render(references, points, value.modes)
    squares = np.square(made.astype(np.float32) - frames).mean(-1)
    cost = float(squares.mean((1, 2)).sum()) + options.lmbda * 8 * len(payload)
    return EncodedGroup(payload, points, made, cost)
