"""Integer levels chosen on the quadratic model of `field_fit`, against costs of the real coder."""

import jax
import jax.numpy as jnp

from hvc_jax.models.motion.field_fit import Problem, Quadratic, apply, diagonal

ACCEPTED = 0.6
"""Changes that gain less than this share of their segment's best one wait for the next pass."""


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
    count: int,  # segments
    passes: int,  # how often
) -> jax.Array:
    """Integer levels of lower error + lmbda * bits on the quadratic model.

    Every pass looks at every level's neighbours, one more, one less and zero, and takes the changes
    that gain nearly as much as the best of their segment; the model's gradient is then renewed.
    """
    diag = diagonal(problem, model.moments, *levels.shape[1:])
    # Against overshooting where many fields move together.
    diag = diag * 1.05 + 1e-6

    def one(_, state):
        present, slope = state
        here = bits_of(present, costs)
        best, move = jnp.zeros_like(present), jnp.zeros_like(present)
        for change in (jnp.ones_like(present), -jnp.ones_like(present), -present):
            rate = bits_of(present + change, costs) - here
            gain = -(2 * slope * change + diag * jnp.square(change) + lmbda * rate)
            gain = jnp.where(allowed | (present + change == 0), gain, -1.0)
            better = gain > best
            best, move = jnp.where(better, gain, best), jnp.where(better, change, move)
        top = jax.ops.segment_max(best.max((1, 2)), plane_segment, count)
        take = (best > 0) & (best >= ACCEPTED * top[plane_segment][:, None, None])
        move = jnp.where(take, move, 0.0)
        return present + move, slope + apply(problem, model.moments, move)

    return jax.lax.fori_loop(0, passes, one, (levels, model.slope))[0]
