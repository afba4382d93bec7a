"""The rejected algorithm: every triangle tests a K x K patch of pixels, one scatter-min.

Its work is K^2 per triangle whatever the triangle covers, it misses triangles larger than the
patch, and depth shares 32 bits with the id. Kept for the comparison in bench.py.
"""

import jax
import jax.numpy as jnp

from hvc_jax.body.coverage import pixel_coordinates


def patch_triangles(screen: jax.Array, faces: jax.Array, height: int, width: int, size: int):
    """Returns the id of the nearest triangle [B, H, W] int32, -1 for none.

    Args:
      screen: [B, V, 3] (u, v, depth), depth within +-2.
      faces: [F, 3] int32, F below 2^15.
      height: rows.
      width: columns.
      size: K.
    """
    batch, count = screen.shape[0], faces.shape[0]
    x, y = pixel_coordinates(screen, height, width)
    tx, ty = x[:, faces], y[:, faces]
    tz = screen[..., 2][:, faces]
    step = jnp.arange(size, dtype=jnp.float32)
    px = jnp.ceil(tx.min(-1))[..., None, None] + step
    py = jnp.ceil(ty.min(-1))[..., None, None] + step[:, None]
    weights = []
    for j, k in ((1, 2), (2, 0), (0, 1)):
        ax, ay, bx, by = (
            v[..., None, None] for v in (tx[..., j], ty[..., j], tx[..., k], ty[..., k])
        )
        weights.append((bx - ax) * (py - ay) - (by - ay) * (px - ax))
    total = weights[0] + weights[1] + weights[2]
    inside = (total != 0) & (px >= 0) & (px < width) & (py >= 0) & (py < height)
    depth = 0.0
    for k, weight in enumerate(weights):
        share = weight / jnp.where(total == 0, 1.0, total)
        inside &= share >= 0
        depth += share * tz[..., k, None, None]
    level = jnp.clip((depth + 2) * (2**17 / 4), 0, 2**17 - 1).astype(jnp.uint32)
    ids = jnp.arange(count, dtype=jnp.uint32)[:, None, None]
    frame = jnp.arange(batch)[:, None, None, None]
    place = (frame * height + py.astype(jnp.int32)) * width + px.astype(jnp.int32)
    place = jnp.where(inside, place, batch * height * width)
    empty = jnp.uint32(2**32 - 1)
    buffer = jnp.full(batch * height * width, empty)
    buffer = buffer.at[place.reshape(-1)].min((level << 15 | ids).reshape(-1), mode="drop")
    seen = buffer.reshape(batch, height, width)
    return jnp.where(seen == empty, -1, (seen & (2**15 - 1)).astype(jnp.int32))
