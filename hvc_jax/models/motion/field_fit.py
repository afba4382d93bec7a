"""Fields fitted to pictures by Gauss-Newton: squared error through the real warp + log-rate.

`linearise` runs the decoder's warp once and leaves a quadratic model of the squared error around
the present levels: the exact gradient, and per frame a matrix of second moments between the five
fields, pooled to cells finer than the control grid. On that model steps are cheap (`solve`: the
log-rate is majorised by a quadratic, conjugate gradients do the rest), and so is the change of the
cost by any change of levels (`apply`, `diagonal`), which the choice of integers is made with.
Distortion is the mean squared error of a frame in units of 8-bit steps, summed over frames.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.models.motion.field import References, axis_matrix
from hvc_jax.ops import bicubic

CELLS = 4
"""Pixels of the fitted picture along the side of a cell of second moments."""
_DAMPING = 0.4
"""Of a stage's first step, relative to the diagonal. With .1, and a quarter of it after every step
that succeeds, descent goes astray where bits are cheap: up to 16 % more cost at effort 0."""
_EASED = 2.0
"""What damping is divided by after a step that succeeds."""
_ROUNDS, _STEPS = 3, 8  # times that the log-rate is majorised; of conjugate gradients in each


class Problem(NamedTuple):
    """A group of frames to be fitted, at one resolution."""

    prepared: jax.Array  # key pictures in units of 8-bit steps, laid out by `bicubic.prepare`
    target: jax.Array  # [T, h, w, 3] in the same units
    # [T, h, w], what a pixel's squared error counts, the mean of a frame about 1; 0 for frames that
    # are padding
    weight: jax.Array
    references: References  # [T] pictures and shares
    # [T, O, R, C] coefficients of a predicted field, in pixels (zeros for none)
    prediction: jax.Array
    synthesis: jax.Array  # [T, O, N] levels -> transformed fields, in pixels of the full picture
    scale: jax.Array  # pixels of this resolution in one of the full picture


class Quadratic(NamedTuple):
    """The error near some levels: error + 2 <slope, d> + <d, A d>."""

    error: jax.Array  # [T] mean squared error of each frame
    slope: jax.Array  # [N, R, C]
    moments: jax.Array  # [T, O, O, h / CELLS, w / CELLS]


def _spread(synthesis: jax.Array, levels: jax.Array, height: int, width: int) -> jax.Array:
    """Levels [N, R, C] -> fields [T, O, height, width]."""
    down = axis_matrix(height, levels.shape[1]).astype("float32")
    across = axis_matrix(width, levels.shape[2]).astype("float32")
    fields = jnp.einsum("ton,nrc->torc", synthesis, levels)
    return jnp.einsum("yr,torc,xc->toyx", down, fields, across)


def _gather(synthesis: jax.Array, fields: jax.Array, rows: int, columns: int) -> jax.Array:
    """The transpose of `_spread`: [T, O, height, width] -> [N, R, C]."""
    down = axis_matrix(fields.shape[2], rows).astype("float32")
    across = axis_matrix(fields.shape[3], columns).astype("float32")
    return jnp.einsum(
        "ton,torc->nrc", synthesis, jnp.einsum("yr,toyx,xc->torc", down, fields, across)
    )


def fields_of(problem: Problem, levels: jax.Array) -> jax.Array:
    """Dense fields [T, O, h, w] of `levels` [N, R, C]; in pixels of this resolution."""
    height, width = problem.target.shape[1:3]
    down = axis_matrix(height, levels.shape[1]).astype("float32")
    across = axis_matrix(width, levels.shape[2]).astype("float32")
    spread = jnp.einsum("ton,nrc->torc", problem.synthesis, levels) + problem.prediction
    fields = jnp.einsum("yr,torc,xc->toyx", down, spread, across)
    return fields.at[:, :4].multiply(problem.scale)


def _warp(problem: Problem, fields: jax.Array):
    """Residual [T, h, w, C] and its derivatives by each field [T, O, h, w, C]."""
    height, width = fields.shape[-2:]
    references = problem.references
    x, y = jnp.arange(width, dtype=jnp.float32), jnp.arange(height, dtype=jnp.float32)[:, None]
    scale, count = problem.scale, len(fields)
    index, at_x, at_y = references.past, x + fields[:, 0], y + fields[:, 1]
    if fields.shape[1] > 2:
        index = jnp.concatenate([index, references.future])
        at_x = jnp.concatenate([at_x, x + fields[:, 2]])
        at_y = jnp.concatenate([at_y, y + fields[:, 3]])
    # Nothing of this is to be computed again for each of the products that it enters.
    made, by_x, by_y = jax.lax.optimization_barrier(
        bicubic.sample_with_slopes(problem.prepared, index, at_x, at_y)
    )
    by_x, by_y = by_x * scale, by_y * scale
    if fields.shape[1] == 2:
        return made - problem.target, jnp.stack([by_x, by_y], 1)
    past, future = made[:count], made[count:]
    share = jax.nn.sigmoid(references.share[:, None, None] + fields[:, 4])[..., None]
    gap, rest = past - future, 1 - share
    into = [by_x[:count] * share, by_y[:count] * share, by_x[count:] * rest, by_y[count:] * rest]
    slopes = jnp.stack([*into, gap * share * rest], 1)
    return jax.lax.optimization_barrier((future + share * gap - problem.target, slopes))


def errors(problem: Problem, levels: jax.Array) -> jax.Array:
    """The weighted mean squared error of each frame: [T]."""
    fields = fields_of(problem, levels)
    height, width = fields.shape[-2:]
    references = problem.references
    x, y = jnp.arange(width, dtype=jnp.float32), jnp.arange(height, dtype=jnp.float32)[:, None]
    made = bicubic.sample(problem.prepared, references.past, x + fields[:, 0], y + fields[:, 1])
    if fields.shape[1] > 2:
        future = bicubic.sample(
            problem.prepared, references.future, x + fields[:, 2], y + fields[:, 3]
        )
        share = jax.nn.sigmoid(references.share[:, None, None] + fields[:, 4])[..., None]
        made = future + share * (made - future)
    squares = jnp.square(made - problem.target).mean(-1) * problem.weight
    return squares.mean((1, 2))


def linearise(problem: Problem, levels: jax.Array) -> Quadratic:
    """The quadratic model of the error around `levels` [N, R, C]."""
    residual, slopes = _warp(problem, fields_of(problem, levels))
    frames, height, width, channels = residual.shape
    weight = problem.weight / (channels * height * width)
    error = jnp.sum(jnp.square(residual).sum(-1) * weight, (1, 2))
    pulled = jnp.einsum("toyxc,tyxc->toyx", slopes, residual * weight[..., None])
    slope = _gather(problem.synthesis, pulled, *levels.shape[1:])
    cells = (frames, -1, height // CELLS, CELLS, width // CELLS, CELLS)
    count = slopes.shape[1]
    rows = []
    for i in range(count):
        products = jnp.einsum("toyxc,tyxc->toyx", slopes[:, i:], slopes[:, i] * weight[..., None])
        rows.append(products.reshape(cells).sum((3, 5)))
    full = [
        jnp.stack([rows[min(i, j)][:, abs(i - j)] for j in range(count)], 1) for i in range(count)
    ]
    return Quadratic(error, slope, jnp.stack(full, 1))


def apply(problem: Problem, moments: jax.Array, change: jax.Array) -> jax.Array:
    """The quadratic model's matrix times a change of levels: [N, R, C] -> [N, R, C]."""
    fields = _spread(problem.synthesis, change, *moments.shape[3:])
    pushed = jnp.einsum("topyx,tpyx->toyx", moments, fields)
    return _gather(problem.synthesis, pushed, *change.shape[1:])


def diagonal(problem: Problem, moments: jax.Array, rows: int, columns: int) -> jax.Array:
    """The diagonal of the quadratic model's matrix: [N, R, C]."""
    down = jnp.square(axis_matrix(moments.shape[3], rows).astype("float32"))
    across = jnp.square(axis_matrix(moments.shape[4], columns).astype("float32"))
    each = jnp.einsum("yr,topyx,xc->toprc", down, moments, across)
    synthesis = problem.synthesis
    mixed = jnp.einsum("toprc,tpn->tonrc", each, synthesis)
    return jnp.einsum("tonrc,ton->nrc", mixed, synthesis)


def solve(
    problem: Problem,  # the group
    model: Quadratic,  # from `linearise` at `levels`
    levels: jax.Array,  # [N, R, C] float, where to start
    # [N, 1, 1] or [N, R, C], the multiplier times bits; large where levels must stay 0
    penalty: jax.Array,
    rarity: jax.Array,  # [N, R, C], how much a nonzero level costs there
    damping: jax.Array,  # [N, 1, 1], Levenberg-Marquardt's, relative to the diagonal
) -> jax.Array:
    """Levels that lower the quadratic model + sum penalty log2(1 + rarity levels^2)."""
    diag = diagonal(problem, model.moments, *levels.shape[1:])
    extra = damping * (diag + 1e-6)

    def majorise(_, present):
        change = present - levels
        pull = penalty * rarity / (jnp.log(2.0) * (1 + rarity * jnp.square(present)))

        def matrix(d):
            return apply(problem, model.moments, d) + (pull + extra) * d

        right = -(model.slope + pull * levels) - matrix(change)
        inverse = 1 / (diag + pull + extra + 1e-6)
        z = inverse * right

        def step(_, state):
            x, r, p, rho = state
            q = matrix(p)
            alpha = rho / jnp.maximum(jnp.vdot(p, q), 1e-20)
            x, r = x + alpha * p, r - alpha * q
            z = inverse * r
            fresh = jnp.vdot(r, z)
            return x, r, z + fresh / jnp.maximum(rho, 1e-20) * p, fresh

        start = (change, right, z, jnp.vdot(right, z))
        change = jax.lax.fori_loop(0, _STEPS, step, start)[0]
        return levels + change

    return jax.lax.fori_loop(0, _ROUNDS, majorise, levels)


class Descent(NamedTuple):
    """State of the descent: the best levels so far, their model, and what to try next."""

    levels: jax.Array  # [N, R, C] best so far
    model: Quadratic  # the quadratic model there
    cost: jax.Array  # [S] error + rate of every segment there
    damping: jax.Array  # [S]
    trial: jax.Array  # [N, R, C] the next levels to look at


def log_rate(levels: jax.Array, penalty: jax.Array, rarity: jax.Array) -> jax.Array:
    """The smooth rate of every plane times the multiplier: [N]."""
    return jnp.sum(penalty * jnp.log2(1 + rarity * jnp.square(levels)), (1, 2))


def begin(problem: Problem, levels: jax.Array, count: int) -> Descent:
    """The state before anything was looked at, from levels [N, R, C] float on; all is better."""
    (frames, height, width), outputs = problem.target.shape[:3], problem.synthesis.shape[1]
    moments = np.zeros((frames, outputs, outputs, height // CELLS, width // CELLS), np.float32)
    nothing = Quadratic(np.zeros(frames, np.float32), np.zeros(levels.shape, np.float32), moments)
    damping = np.full(count, np.float32(_EASED * _DAMPING))  # the first step eases it
    return Descent(levels, nothing, np.full(count, np.inf, np.float32), damping, levels)


def chosen(
    planes: jax.Array,  # [N] bool, those that are taken from `trial`
    frames: jax.Array,  # [T] bool, likewise
    trial: tuple[jax.Array, Quadratic],  # levels and their model
    present: tuple[jax.Array, Quadratic],
) -> tuple[jax.Array, Quadratic]:
    """Levels and their model, of some segments as in `trial`."""
    levels = jnp.where(planes[:, None, None], trial[0], present[0])
    a, b = trial[1], present[1]
    model = Quadratic(
        jnp.where(frames, a.error, b.error),
        jnp.where(planes[:, None, None], a.slope, b.slope),
        jnp.where(frames[:, None, None, None, None], a.moments, b.moments),
    )
    return levels, model


def segment_costs(
    error: jax.Array,  # [T] of each frame
    rate: jax.Array,  # [N] of each plane, times the multiplier
    frame_segment: jax.Array,  # [T] int, the segment of each frame
    plane_segment: jax.Array,  # [N] int, the segment of each plane
    count: int,  # of segments
) -> jax.Array:
    """Error + rate of every segment: [S]."""
    cost = jax.ops.segment_sum(error, frame_segment, count)
    return cost + jax.ops.segment_sum(rate, plane_segment, count)


def settle(
    problem: Problem,  # the group
    state: Descent,  # after the last step, whose trial was not evaluated
    frame_segment: jax.Array,  # as in `segment_costs`
    plane_segment: jax.Array,
    penalty: jax.Array,  # as in `solve`
    rarity: jax.Array,
) -> jax.Array:
    """The levels [N, R, C] where descent ends: of each segment its trial, where that is better."""
    error, rate = errors(problem, state.trial), log_rate(state.trial, penalty, rarity)
    cost = segment_costs(error, rate, frame_segment, plane_segment, len(state.cost))
    better = (cost < state.cost)[plane_segment][:, None, None]
    return jnp.where(better, state.trial, state.levels)


def descend(
    problem: Problem,  # the group
    state: Descent,  # of the step before, or `begin`
    # from `linearise` at the state's trial: a program of its own, which takes long to compile and
    # serves other steps too
    model: Quadratic,
    frame_segment: jax.Array,  # [T] int, the segment of each frame
    plane_segment: jax.Array,  # [N] int, the segment of each plane
    penalty: jax.Array,  # as in `solve`
    rarity: jax.Array,  # as in `solve`
) -> Descent:
    """One step of Levenberg-Marquardt, each segment on its own.

    A segment whose cost fell keeps its trial and is damped less; one whose cost rose goes back and
    is damped more.
    """
    trial, count = state.trial, len(state.cost)
    rate = log_rate(trial, penalty, rarity)
    cost = segment_costs(model.error, rate, frame_segment, plane_segment, count)
    better = cost < state.cost
    damping = jnp.clip(jnp.where(better, state.damping / _EASED, state.damping * 8), 1e-3, 1e4)
    rows, frames = better[plane_segment], better[frame_segment]
    trial, model = chosen(rows, frames, (trial, model), (state.levels, state.model))
    cost = jnp.where(better, cost, state.cost)
    ahead = solve(problem, model, trial, penalty, rarity, damping[plane_segment][:, None, None])
    return Descent(trial, model, cost, damping, ahead)
