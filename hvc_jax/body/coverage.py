"""Which triangle is seen at every pixel: exact, for triangles of any size, in fixed memory.

Every triangle lists the pixel centres in its bounding box as *candidates*, in blocks of 8 that
share what is looked up of their triangle; the blocks of all triangles of the whole batch are laid
end to end and worked off in chunks of fixed length by one `while_loop`:

    blocks per triangle ─ cumsum ─► chunk of blocks ─► edge tests, depth ─► scatter-min

Work is proportional to the summed areas of the bounding boxes, so a mesh of many small triangles
costs what it covers, and a triangle that fills the screen is no special case. A CPU draws the
frames of a batch one after the other, so that a batch costs the sum of its frames (a vmapped
scatter does not scale like that, and arrays of all frames fall out of the caches); a GPU takes them
at once.

Coverage follows the 2D homogeneous formulation (Olano and Greer, 1997): with P_i = w_i (x_i, y_i,
1) the edge functions E_i(p) = (P_j x P_k) . (p, 1) are, after division by their sum, the
barycentric coordinates. No clipping is needed.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

EMPTY = jnp.iinfo(jnp.int32).max

_LANES = 8  # candidates a block


def pixel_coordinates(screen: jax.Array, height: int, width: int) -> tuple[jax.Array, jax.Array]:
    """Returns x and y of picture coordinates [*, >=2] in pixels; pixel centres are integers."""
    x = (screen[..., 0] + 1) * (0.5 * width) - 0.5
    y = (screen[..., 1] + 1) * (0.5 * height) - 0.5
    return x, y


def pick(values: jax.Array, index: jax.Array) -> jax.Array:
    """Returns `values[index]` for indices known to be in range (no bounds masks)."""
    return values.at[index].get(mode="promise_in_bounds")


def frame_by_frame(function: Callable, *arrays: Any) -> Any:
    """Returns function(*arrays), called for each frame of the batch in turn on a CPU.

    Arrays, or trees of them, have the batch in front, as has what the function gives.
    """
    if len(jax.tree.leaves(arrays)[0]) == 1 or jax.default_backend() != "cpu":
        return function(*arrays)

    def single(frame):
        out = function(*jax.tree.map(lambda x: x[None], frame))
        return jax.tree.map(lambda x: x[0], out)

    # A gradient keeps the triangle ids of a frame and computes the rest again, which is cheaper
    # than writing a batch of it and reading it back.
    policy = jax.checkpoint_policies.save_only_these_names("triangle")
    return jax.lax.map(jax.checkpoint(single, prevent_cse=False, policy=policy), arrays)


def _bounds(x, y, faces, height, width, cull):
    """Returns first column and row, number of columns and of candidates, all int32 [B, F]."""
    tx, ty = [x[:, faces[:, k]] for k in range(3)], [y[:, faces[:, k]] for k in range(3)]
    low_x, high_x = _least(tx), _most(tx)
    low_y, high_y = _least(ty), _most(ty)
    usable = jnp.isfinite(low_x + high_x + low_y + high_y)
    if cull:
        area = (tx[1] - tx[0]) * (ty[2] - ty[0]) - (ty[1] - ty[0]) * (tx[2] - tx[0])
        usable &= area < 0
    left = jnp.ceil(jnp.clip(low_x, 0, width)).astype(jnp.int32)
    right = jnp.floor(jnp.clip(high_x, -1, width - 1)).astype(jnp.int32)
    top = jnp.ceil(jnp.clip(low_y, 0, height)).astype(jnp.int32)
    bottom = jnp.floor(jnp.clip(high_y, -1, height - 1)).astype(jnp.int32)
    columns = jnp.maximum(right - left + 1, 0)
    rows = jnp.maximum(bottom - top + 1, 0)
    return left, top, columns, jnp.where(usable, columns * rows, 0)


def _least(parts):
    return jnp.minimum(jnp.minimum(parts[0], parts[1]), parts[2])


def _most(parts):
    return jnp.maximum(jnp.maximum(parts[0], parts[1]), parts[2])


@functools.partial(jax.jit, static_argnames=("height", "width", "cull", "chunk"))
def nearest_triangle(
    # [B, V, 3] (u, v, depth); see `hvc_jax.body.camera`. Triangles with a coordinate that is not
    # finite are skipped.
    screen: jax.Array,
    faces: jax.Array,  # [F, 3] int32 vertex ids
    height: int,  # rows of pixels
    width: int,  # columns of pixels
    *,
    cull: bool = False,  # leave out triangles that show their back (right for closed surfaces)
    # candidates per pass and frame; default by picture size. The sum of the bounding boxes of a
    # batch must stay below 2^31 pixels.
    chunk: int | None = None,
) -> jax.Array:
    """Returns the id of the nearest triangle at each pixel centre, int32 [B, H, W], -1 for none.

    A pixel centre exactly on an edge belongs to the triangle for which the edge is a top or left
    one; of two triangles at equal depth the lower id is seen.
    """
    draw = functools.partial(_draw, faces=faces, height=height, width=width, cull=cull, chunk=chunk)
    return checkpoint_name(frame_by_frame(draw, jax.lax.stop_gradient(screen)), "triangle")


def _draw(screen, faces, height, width, cull, chunk):
    """Returns what `nearest_triangle` does, for all frames at once."""
    batch, count, vertices = screen.shape[0], faces.shape[0], screen.shape[1]
    x, y = pixel_coordinates(screen, height, width)
    depth = screen[..., 2]
    bounds = _bounds(x, y, faces, height, width, cull)
    left, top, columns, number = (value.reshape(-1) for value in bounds)
    x, y, depth = x.reshape(-1), y.reshape(-1), depth.reshape(-1)
    corner_of = faces.reshape(-1)

    blocks = (number + _LANES - 1) // _LANES
    ends = jnp.cumsum(blocks)
    starts = ends - blocks
    total = ends[-1]
    pixels = batch * height * width
    length = batch * (chunk or min(max(height * width // 4, 2048), 32768)) // _LANES
    ids = jnp.arange(batch * count, dtype=jnp.int32)
    lanes = jnp.arange(_LANES, dtype=jnp.int32)[:, None]
    # Triangles without candidates are sent past the end, where the scatter drops them.
    starts_used = jnp.where(number > 0, starts, EMPTY)

    def body(state):
        first, carried, zbuffer, seen = state
        slot = jnp.where(starts_used >= first, starts_used - first, length)
        marks = jnp.zeros(length, jnp.int32).at[0].set(carried)
        marks = marks.at[slot].max(ids, mode="drop")
        triangle = jax.lax.cummax(marks)
        position = first + jnp.arange(length, dtype=jnp.int32)
        frame = triangle // count
        face = triangle - frame * count
        corners = [pick(corner_of, 3 * face + k) + frame * vertices for k in range(3)]
        # Looked up once a block: without the barrier a compiler may do it again for every lane.
        begin, stride, least_x, least_y, last, *points = jax.lax.optimization_barrier(
            [pick(values, triangle) for values in (starts, columns, left, top, number)]
            + [pick(values, corner) for values in (x, y, depth) for corner in corners]
        )
        offset = (position - begin) * _LANES + lanes
        # Whole numbers divide slowly; the quotient of floats is at most one off.
        row = ((offset.astype(jnp.float32) + 0.5) / jnp.maximum(stride, 1)).astype(jnp.int32)
        row += ((row + 1) * stride <= offset).astype(jnp.int32) - (row * stride > offset)
        px, py = least_x + offset - row * stride, least_y + row
        inside, z = _test(
            points[:3],
            points[3:6],
            points[6:],
            corners,
            px.astype(jnp.float32),
            py.astype(jnp.float32),
        )
        inside &= (offset < last) & (position < total)
        pixel = jnp.where(inside, (frame * height + py) * width + px, pixels)
        nearer = zbuffer.at[pixel].min(z, mode="drop")
        wins = inside & (z == pick(nearer, jnp.minimum(pixel, pixels - 1)))
        seen = jnp.where(nearer < zbuffer, EMPTY, seen)
        face = jnp.broadcast_to(face, pixel.shape)
        seen = seen.at[jnp.where(wins, pixel, pixels)].min(face, mode="drop")
        return first + length, triangle[-1], nearer, seen

    state = (
        jnp.int32(0),
        jnp.int32(0),
        jnp.full(pixels, jnp.inf, jnp.float32),
        jnp.full(pixels, EMPTY, jnp.int32),
    )
    _, _, _, seen = jax.lax.while_loop(lambda s: s[0] < total, body, state)
    return jnp.where(seen == EMPTY, -1, seen).reshape(batch, height, width)


def _test(x, y, depth, corners, px, py):
    """Returns whether candidates lie in their triangles, and their depths, both [lanes, blocks].

    The first four are lists of three, [blocks] each; px and py are [lanes, blocks].

    Both triangles at an edge compute its function from the same end point in the same order
    (lower vertex id first), so they see exactly opposite values and no pixel on the edge is lost
    or drawn twice.
    """
    values, rises, runs = [], [], []
    for i, j in ((1, 2), (2, 0), (0, 1)):
        swap = corners[i] > corners[j]
        xa, ya = jnp.where(swap, x[j], x[i]), jnp.where(swap, y[j], y[i])
        xb, yb = jnp.where(swap, x[i], x[j]), jnp.where(swap, y[i], y[j])
        dx, dy = xb - xa, yb - ya
        value = dx * (py - ya) - dy * (px - xa)
        turn = jnp.where(swap, -1.0, 1.0)
        values.append(turn * value)
        runs.append(turn * dx)
        rises.append(turn * dy)
    total = values[0] + values[1] + values[2]
    turn = jnp.sign(total)
    inside = total != 0
    for value, dx, dy in zip(values, runs, rises, strict=True):
        value, dx, dy = turn * value, turn * dx, turn * dy
        # Top-left rule: with the inside on the positive side, a left edge has its direction's dy
        # negative (up the picture), a top edge dy = 0 and dx positive.
        inside &= (value > 0) | ((value == 0) & ((dy < 0) | ((dy == 0) & (dx > 0))))
    z = sum(v * d for v, d in zip(values, depth, strict=True)) / jnp.where(total == 0, 1.0, total)
    return inside, z
