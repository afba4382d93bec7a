"""Integer levels chosen on the quadratic model of `field_fit`, against costs of the real coder."""

import jax
import jax.numpy as jnp

from hvc_jax.models.motion.field_fit import (
    Problem,
    Quadratic,
    apply,
    chosen,
    diagonal,
    segment_costs,
)

FIRST_SHARE, LEAST_SHARE = 0.5, 0.02
"""Of the gain of a segment's best change: changes that gain less wait for the next pass. At first,
and after many passes in which the gains of all that was changed together added up."""
ADDED_UP = 0.5
"""Share of the sum of single gains that changes have to gain together, or they are taken back."""


def bits_of(levels: jax.Array, costs: jax.Array) -> jax.Array:
    """Bits of `levels` [N, R, C] under `costs` [3, N, R, C]: of 0, of 1, of each doubling."""
    size = jnp.abs(levels)
    many = costs[1] + costs[2] * jnp.log2(jnp.maximum(size, 1.0))
    return jnp.where(size < 0.5, costs[0], many)


def improve(
    problem: Problem,  # the group
    model: Quadratic,  # from `linearise` at `levels`
    levels: jax.Array,  # [N, R, C] float holding integers
    costs: jax.Array,  # as in `bits_of`
    lmbda: jax.Array,  # mean squared error per bit
    allowed: jax.Array,  # [N, R, C] bool, levels that may be other than zero
    plane_segment: jax.Array,  # [N] int, the segment of each plane
    damping: jax.Array,  # [S] of each segment, relative to the diagonal of the model's matrix
    passes: int,  # how often
) -> jax.Array:
    """Integer levels of lower error + lmbda * bits on the quadratic model.

    Every pass looks at every level's neighbours, one more, one less and zero, and takes the changes
    that gain nearly as much as the best of their segment. Where they get into each other's way,
    all are taken back and fewer are tried; where they do not, more are.
    """
    diag = diagonal(problem, model.moments, *levels.shape[1:])
    extra = damping[plane_segment][:, None, None] * diag
    # Against overshooting where many fields move together.
    diag = diag * 1.05 + extra + 1e-6

    def of_segments(x: jax.Array) -> jax.Array:
        return jax.ops.segment_sum(x.sum((1, 2)), plane_segment, len(damping))

    def one(_, state):
        present, slope, share = state
        here = bits_of(present, costs)
        best, move, bits = (jnp.zeros_like(present) for _ in range(3))
        for change in (jnp.ones_like(present), -jnp.ones_like(present), -present):
            rate = bits_of(present + change, costs) - here
            gain = -(2 * slope * change + diag * jnp.square(change) + lmbda * rate)
            gain = jnp.where(allowed | (present + change == 0), gain, -1.0)
            more = gain > best
            best, move, bits = (
                jnp.where(more, new, old)
                for new, old in ((gain, best), (change, move), (rate, bits))
            )
        top = share * jax.ops.segment_max(best.max((1, 2)), plane_segment, len(damping))
        take = (best > 0) & (best >= top[plane_segment][:, None, None])
        best, move, bits = (jnp.where(take, x, 0.0) for x in (best, move, bits))
        push = apply(problem, model.moments, move) + extra * move
        gained = -of_segments((2 * slope + push) * move + lmbda * bits)
        added_up = gained >= ADDED_UP * of_segments(best)
        share = jnp.where(added_up, jnp.maximum(0.8 * share, LEAST_SHARE), (1 + share) / 2)
        kept = added_up[plane_segment][:, None, None]
        return jnp.where(kept, present + move, present), jnp.where(kept, slope + push, slope), share

    start = levels, model.slope, jnp.full(damping.shape, FIRST_SHARE)
    return jax.lax.fori_loop(0, passes, one, start)[0]


def better(
    trial: tuple[jax.Array, Quadratic],  # levels and the model there
    present: tuple[jax.Array, Quadratic],  # likewise
    costs: jax.Array,  # as in `bits_of`
    lmbda: jax.Array,  # mean squared error per bit
    frame_segment: jax.Array,  # [T] int, the segment of each frame
    plane_segment: jax.Array,  # [N] int, the segment of each plane
    count: int,  # segments
) -> tuple[tuple[jax.Array, Quadratic], jax.Array]:
    """Of each segment what has the lower error + lmbda * bits, and [S] where that is the trial."""

    def cost(levels: jax.Array, model: Quadratic) -> jax.Array:
        rate = lmbda * bits_of(levels, costs).sum((1, 2))
        return segment_costs(model.error, rate, frame_segment, plane_segment, count)

    fell = cost(*trial) < cost(*present)
    return chosen(fell[plane_segment], fell[frame_segment], trial, present), fell
