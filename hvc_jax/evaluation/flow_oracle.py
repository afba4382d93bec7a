"""Upper bounds: key pictures as coded, warped by optical flow that costs nothing. No codecs.

    frames ─► key pictures, coded ─┐
      └─────► flow to the keys ────┴─► warped, blended by distance ─► frames

The flow is that of the original frames, which no decoder has; only the bytes of the key pictures
count. The rows say how much of what a displacement field can reach at all a variant reaches.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax import keyframes
from hvc_jax.codec.field_group import references_at, shares
from hvc_jax.codec.rate import key_places
from hvc_jax.codec.segment import code_keys
from hvc_jax.evaluation.anchors import Anchor
from hvc_jax.models.motion import field
from hvc_jax.ops import bicubic
from hvc_jax.ops.batching import batches, padded
from hvc_jax.ops.flow import dense_flow, grey

SPARSE = 8
"""Frames between the key pictures of the sparse sequences."""
CELLS = 16
"""Cells along each side over which the coarse flow is averaged."""
ORACLES = {
    "flow-oracle": ("flow-dense", f"flow-{CELLS}x{CELLS}"),
    "flow-oracle-sparse": ("flow-dense-sparse", f"flow-{CELLS}x{CELLS}-sparse"),
}
"""Names of rows by what `--anchors` calls them: one intra key picture, or one every `SPARSE`
frames, the later ones inter-coded as those of the variants `field` and `hybrid`."""

_TOGETHER = 8  # frames warped by one call


def flow_oracle(frames: np.ndarray, name: str, qp: int) -> Anchor:
    """Key pictures of a clip [T, H, W, 3] uint8 warped by optical flow, at their bytes alone.

    Frames between two key pictures are blends of both, the nearer one counting more, as fields
    begin in the codec. `name` is one of `ORACLES`, `qp` of the intra key picture, sides 16 or more.
    Raises MissingFlowError: OpenCV, which finds the flow, is not installed.
    """
    height, width = frames.shape[1:3]
    if name.endswith("-sparse"):
        keys = code_keys(frames, key_places(len(frames), SPARSE), qp)
        pictures, size = keys.pictures, keys.size
    else:
        key = keyframes.encode(frames[0], qp)
        pictures, size = {0: keyframes.decode(*key, height, width)}, len(key.payload)
    places = np.array(sorted(pictures))
    shown = np.empty_like(frames)
    shown[places] = [pictures[t] for t in places]
    times = np.setdiff1d(np.arange(len(frames)), places)
    references = references_at(times, places, shown[places])
    share, luma = shares(references), [grey(frame) for frame in frames]
    prepared = bicubic.prepare(jnp.asarray(references.pictures, jnp.float32))
    two = bool((references.future >= 0).any())
    for part in batches(np.arange(len(times)), _TOGETHER):
        flows = np.zeros((len(part), 5, height, width), np.float32)
        for row, i in zip(flows, part, strict=True):
            for side, number in enumerate((references.past[i], references.future[i])):
                if number >= 0:
                    flow = dense_flow(luma[times[i]], luma[places[number]])
                    row[2 * side : 2 * side + 2] = np.moveaxis(flow, -1, 0)
        if "dense" not in name:
            flows = averaged(flows)
        at = padded(part, _TOGETHER)
        looks = field.References(
            *(np.maximum(x[at], 0).astype(np.int32) for x in (references.past, references.future)),
            share[at],
        )
        made = _warp(prepared, looks, padded(flows, _TOGETHER), two)
        shown[times[part]] = np.asarray(made)[: len(part)]
    return Anchor(name, qp, 1.0, size, shown)


def averaged(flows: np.ndarray) -> np.ndarray:
    """Flows [T, C, H, W] averaged over 16x16 cells and interpolated bilinearly between them."""
    count, channels, height, width = flows.shape
    rows, columns = (np.linspace(0, n, CELLS + 1).round().astype(int) for n in (height, width))
    cells = np.add.reduceat(np.add.reduceat(flows, rows[:-1], 2), columns[:-1], 3)
    cells /= np.diff(rows)[:, None] * np.diff(columns)
    return np.asarray(jax.image.resize(cells, (count, channels, height, width), "bilinear"))


@functools.partial(jax.jit, static_argnames=("two",))
def _warp(prepared, looks, flows, two: bool):
    made = field.warp_blend(prepared, looks, flows, two)
    return jnp.clip(jnp.round(made), 0, 255).astype(jnp.uint8)
