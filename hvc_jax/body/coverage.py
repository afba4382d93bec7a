"""Which triangle is seen at every pixel: exact, for triangles of any size, in fixed memory.

Every triangle lists the pixel centres in its bounding box as *candidates*; the lists of all
triangles of the whole batch are laid end to end and worked off in chunks of fixed length by one
`while_loop`:

    candidates per triangle ─ cumsum ─► chunk of candidates ─► edge tests, depth ─► scatter-min

Work is proportional to the summed areas of the bounding boxes, so a mesh of many small triangles
costs what it covers, a triangle that fills the screen is no special case, and a batch costs the
sum of its frames (a vmapped scatter does not scale like that on a CPU).

Coverage follows the 2D homogeneous formulation (Olano and Greer, 1997): with P_i = w_i (x_i, y_i,
1) the edge functions E_i(p) = (P_j x P_k) . (p, 1) are, after division by their sum, the
perspective-correct barycentric coordinates, and their signs are right for triangles that cross the
plane w = 0 as well. No clipping is needed.
"""

import jax
import jax.numpy as jnp

EMPTY = jnp.iinfo(jnp.int32).max


def pixel_coordinates(screen: jax.Array, height: int, width: int) -> tuple[jax.Array, jax.Array]:
    """Returns x and y of picture coordinates [*, >=2] in pixels; pixel centres are integers."""
    x = (screen[..., 0] + 1) * (0.5 * width) - 0.5
    y = (screen[..., 1] + 1) * (0.5 * height) - 0.5
    return x, y


def _edge_records(x, y, w, faces, perspective):
    """Returns per edge (origin x, origin y, dx, dy, constant, order), each [B, F, 3].

    E(p) = dx (py - oy) - dy (px - ox) + c. Both triangles at an edge build it from the same end
    point in the same order (lower vertex id first), so they see exactly opposite values and no
    pixel on the edge is lost or drawn twice.
    """
    start, end = faces[:, jnp.array([1, 2, 0])], faces[:, jnp.array([2, 0, 1])]
    low, high = jnp.minimum(start, end), jnp.maximum(start, end)
    order = jnp.where(start < end, 1.0, -1.0)
    if not perspective:
        ox, oy = x[:, low], y[:, low]
        return ox, oy, x[:, high] - ox, y[:, high] - oy, jnp.zeros_like(ox), order
    wa, wb = w[:, low], w[:, high]
    xa, ya, xb, yb = x[:, low] * wa, y[:, low] * wa, x[:, high] * wb, y[:, high] * wb
    zero = jnp.zeros_like(xa)
    # Line through both points: normal (ya wb - yb wa, wa xb - wb xa, xa yb - xb ya).
    return zero, zero, wa * xb - wb * xa, yb * wa - ya * wb, xa * yb - xb * ya, order


def _bounds(x, y, w, faces, height, width, perspective, near):
    """Returns first column and row, number of columns and of candidates, all int32 [B, F]."""
    tx, ty, tw = x[:, faces], y[:, faces], w[:, faces]
    low_x, high_x = tx.min(-1), tx.max(-1)
    low_y, high_y = ty.min(-1), ty.max(-1)
    finite = jnp.isfinite(low_x + high_x + low_y + high_y + tw.sum(-1))
    if perspective:
        ahead = tw > near
        crossing = ahead.any(-1) & ~ahead.all(-1)
        finite &= ahead.any(-1)
        low_x, low_y = jnp.where(crossing, 0.0, low_x), jnp.where(crossing, 0.0, low_y)
        high_x = jnp.where(crossing, width - 1.0, high_x)
        high_y = jnp.where(crossing, height - 1.0, high_y)
    left = jnp.ceil(jnp.clip(low_x, 0, width)).astype(jnp.int32)
    right = jnp.floor(jnp.clip(high_x, -1, width - 1)).astype(jnp.int32)
    top = jnp.ceil(jnp.clip(low_y, 0, height)).astype(jnp.int32)
    bottom = jnp.floor(jnp.clip(high_y, -1, height - 1)).astype(jnp.int32)
    columns = jnp.maximum(right - left + 1, 0)
    rows = jnp.maximum(bottom - top + 1, 0)
    return left, top, columns, jnp.where(finite, columns * rows, 0)


def nearest_triangle(
    screen: jax.Array,
    faces: jax.Array,
    height: int,
    width: int,
    *,
    perspective: bool = False,
    near: float = 0.0,
    cull: bool = False,
    chunk: int | None = None,
) -> jax.Array:
    """Returns the id of the nearest triangle at each pixel centre, int32 [B, H, W], -1 for none.

    A pixel centre exactly on an edge belongs to the triangle for which the edge is a top or left
    one; of two triangles at equal depth the lower id is seen.

    Args:
      screen: [B, V, 3] (u, v, depth); see `hvc_jax.body.camera`. Triangles with a coordinate that
        is not finite are skipped.
      faces: [F, 3] int32 vertex ids.
      height: rows.
      width: columns.
      perspective: whether (u, v) came from a division by depth. Depth is then a distance along
        the optical axis, and vertices at or behind the camera are allowed.
      near: with `perspective`, surface nearer than this is not seen.
      cull: leave out triangles that show their back (right for closed surfaces).
      chunk: candidates per pass and frame; default by picture size. The sum of the bounding boxes
        of a batch must stay below 2^31 pixels.
    """
    screen = jax.lax.stop_gradient(screen)
    batch, count = screen.shape[0], faces.shape[0]
    x, y = pixel_coordinates(screen, height, width)
    depth = screen[..., 2]
    w = depth if perspective else jnp.ones_like(depth)
    left, top, columns, number = _bounds(x, y, w, faces, height, width, perspective, near)
    ox, oy, dx, dy, constant, order = _edge_records(x, y, w, faces, perspective)
    # Twice the signed area (its homogeneous form); its sign turns all edges to inside-positive.
    if perspective:
        third = faces[:, 0]
        area = w[:, third] * (
            dx[..., 0] * y[:, third] - dy[..., 0] * x[:, third] + constant[..., 0]
        )
    else:
        third = faces[:, 0]
        area = dx[..., 0] * (y[:, third] - oy[..., 0]) - dy[..., 0] * (x[:, third] - ox[..., 0])
    area = area * order[:, 0]
    number = jnp.where((area < 0) if cull else (area != 0), number, 0)
    turn = jnp.sign(area)[..., None] * order
    record = jnp.stack(
        [*jnp.moveaxis(jnp.stack([ox, oy, dx, dy, constant, turn], -1), -2, 0)], axis=-2
    ).reshape(batch * count, 18)
    record = jnp.concatenate([record, depth[:, faces].reshape(batch * count, 3)], axis=-1)
    frame = jnp.arange(batch, dtype=jnp.int32)[:, None]
    place = jnp.stack([left, top, jnp.maximum(columns, 1), jnp.broadcast_to(frame, left.shape)], -1)
    place = place.reshape(batch * count, 4)

    number = number.reshape(-1)
    ends = jnp.cumsum(number)
    starts = ends - number
    total = ends[-1]
    length = batch * (chunk or min(max(height * width // 4, 2048), 16384))
    ids = jnp.arange(batch * count, dtype=jnp.int32)
    # Triangles without candidates are sent past the end, where the scatter drops them.
    starts_used = jnp.where(number > 0, starts, EMPTY)

    def body(state):
        first, carried, zbuffer, seen = state
        slot = jnp.where(starts_used >= first, starts_used - first, length)
        marks = jnp.zeros(length, jnp.int32).at[0].set(carried)
        marks = marks.at[slot].max(ids, mode="drop")
        triangle = jax.lax.cummax(marks)
        position = first + jnp.arange(length, dtype=jnp.int32)
        offset = position - starts[triangle]
        where = place[triangle]
        row = offset // where[:, 2]
        px, py = where[:, 0] + offset - row * where[:, 2], where[:, 1] + row
        values = record[triangle]
        inside, z = _test(values, px, py)
        if perspective:
            inside &= z >= near
        inside &= position < total
        pixel = jnp.where(inside, (where[:, 3] * height + py) * width + px, batch * height * width)
        nearer = zbuffer.at[pixel].min(z, mode="drop")
        wins = inside & (z == nearer.at[pixel].get(mode="clip"))
        seen = jnp.where(nearer < zbuffer, EMPTY, seen)
        pixel = jnp.where(wins, pixel, batch * height * width)
        seen = seen.at[pixel].min(triangle, mode="drop")
        return first + length, triangle[-1], nearer, seen

    state = (
        jnp.int32(0),
        jnp.int32(0),
        jnp.full(batch * height * width, jnp.inf, jnp.float32),
        jnp.full(batch * height * width, EMPTY, jnp.int32),
    )
    _, _, _, seen = jax.lax.while_loop(lambda s: s[0] < total, body, state)
    seen = seen.reshape(batch, height, width)
    return jnp.where(seen == EMPTY, -1, seen - frame[:, :, None] * count)


def _test(values, px, py):
    """Returns whether candidates lie in their triangles, and their depths, both [N]."""
    fx, fy = px.astype(jnp.float32), py.astype(jnp.float32)
    inside = jnp.ones(px.shape, bool)
    weights = []
    for e in range(3):
        ox, oy, dx, dy, constant, turn = (values[:, 6 * e + k] for k in range(6))
        value = turn * (dx * (fy - oy) - dy * (fx - ox) + constant)
        # Top-left rule: with the inside on the positive side, a left edge has its direction's dy
        # negative (up the picture), a top edge dy = 0 and dx positive.
        sx, sy = turn * dx, turn * dy
        owns = (sy < 0) | ((sy == 0) & (sx > 0))
        inside &= (value > 0) | ((value == 0) & owns)
        weights.append(value)
    total = weights[0] + weights[1] + weights[2]
    z = sum(weights[e] * values[:, 18 + e] for e in range(3)) / jnp.where(total > 0, total, 1.0)
    return inside & (total > 0), z
