"""The two products in which a body layer spends its time, and how they are kept in the caches.

    coefficients [B, K] x directions [K, 3 V]          blend shapes
    transforms [12 B, J] x weights [J, V] ─► 12 numbers a vertex ─► applied to [x, y, z, 1]

Everything here is ordinary differentiable code, forward and reverse mode; the forms are chosen so
that the transposed program is products and broadcasts as well.
"""

import math

import jax
import jax.numpy as jnp

_EXACT = jax.lax.Precision.HIGHEST

# Vertices a CPU skins at a time: their 12 matrix entries, 5 MB, stay in the caches. Arrays of a
# whole batch would be written to fresh memory and read back, which takes longer than the products.
_CPU_VERTICES = 2**17


def combine(coefficients: jax.Array, directions: jax.Array) -> jax.Array:
    """Returns sum_k coefficients[*, k] directions[k, N, 3] as [*, N, 3]."""
    flat = directions.reshape(directions.shape[0], -1)
    # Frames in columns: XLA's CPU products are 5 to 30 % faster so, forward and backward. The
    # barrier keeps the compiler from turning them back.
    columns = jax.lax.optimization_barrier(coefficients.reshape(-1, coefficients.shape[-1]).T)
    out = jax.lax.dot_general(columns, flat, (((0,), (0,)), ((), ())), precision=_EXACT)
    return out.reshape(*coefficients.shape[:-1], *directions.shape[1:])


def skin_vertices(
    template: jax.Array, offsets: jax.Array, transforms: jax.Array, weights: jax.Array
) -> jax.Array:
    """Returns vertices [*, V, 3] moved by the weighted sum of their joints' transforms.

    Linear blend skinning (Loper et al. 2015, eq. 2). On a CPU a large batch is worked off in groups
    of frames; other back ends take it whole.

    Args:
      template: [V, 3] vertices, metres.
      offsets: [*, V, 3] added in the rest pose, metres; may lack leading axes of `transforms`.
      transforms: [*, J, 3, 4] from rest to posed space.
      weights: [V, J], rows sum to 1.
    """
    lead, count = transforms.shape[:-3], weights.shape[0]
    offsets = jnp.broadcast_to(offsets, (*lead, count, 3)).reshape(-1, count, 3)
    # [B, 12, J]: the joints last, where the product sums over them.
    rows = jnp.swapaxes(transforms.reshape(-1, transforms.shape[-3], 12), 1, 2)
    batch = len(rows)
    most = max(1, _CPU_VERTICES // count)
    if batch <= most or jax.default_backend() != "cpu":
        return _skin(template + offsets, rows, weights).reshape(*lead, count, 3)
    # Even groups where there are some, for a group with frames left over costs a copy.
    size = next((n for n in range(most, most // 2, -1) if batch % n == 0), most)
    groups = math.ceil(batch / size)
    extra = groups * size - batch

    def grouped(x: jax.Array) -> jax.Array:
        x = jnp.pad(x, ((0, extra), (0, 0), (0, 0))) if extra else x
        return x.reshape(groups, size, *x.shape[1:])

    # The backward pass computes the 12 numbers again rather than keeping them for the batch.
    step = jax.checkpoint(lambda x: _skin(template + x[0], x[1], weights), prevent_cse=False)
    out = jax.lax.map(step, (grouped(offsets), grouped(rows)))
    return out.reshape(groups * size, count, 3)[:batch].reshape(*lead, count, 3)


def _skin(vertices: jax.Array, rows: jax.Array, weights: jax.Array) -> jax.Array:
    """Returns [B, V, 3] of vertices [B, V, 3], rows [B, 12, J] and weights [V, J]."""
    batch, count, _ = vertices.shape
    blended = jnp.matmul(rows.reshape(batch * 12, -1), weights.T, precision=_EXACT)
    blended = blended.reshape(batch, 3, 4, count)
    ones = jnp.ones((batch, 1, count), vertices.dtype)
    point = jnp.concatenate([jnp.swapaxes(vertices, 1, 2), ones], axis=1)[:, None]
    # Joining and splitting instead of broadcasting and summing: XLA turns the pairs below into
    # fused sums in both directions, where sums over an axis of 3 or 4 run unvectorised on a CPU.
    terms = blended * jnp.concatenate([point] * 3, axis=1)
    x, y, z, shift = jax.lax.split(terms, (1,) * 4, axis=2)
    return jnp.swapaxes((x + y + z + shift)[:, :, 0], 1, 2)
