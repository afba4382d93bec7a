"""A group of frames as displacement fields: what the decoder does with a payload.

    points, value = decode_fields(payload, references, FieldFormat(16, 16))
    frames = render(references, points, value.modes)  # [T, H, W, 3] uint8

The encoder (`codec.search`) runs the same functions. A prediction of the fields, at the control
points, may come from anywhere that both sides know: the mesh, or for groups of single frames the
fields of the frame before (`points[-1]`).
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.codec.memory import DEFAULT_MAX_MEMORY, Fitting
from hvc_jax.models.field_generator import Sources
from hvc_jax.models.motion import field
from hvc_jax.ops import bicubic
from hvc_jax.ops.batching import padded
from hvc_jax.ops.compile import fast_jit
from hvc_jax.stream.field import DEFAULT_STEP, STEPS, FieldLevels, decode_levels
from hvc_jax.stream.field_layout import FUTURE, OUTPUTS, PAST, segments

RENDERED_TOGETHER = 8
"""Frames warped by one call, at most; the pictures that they look into are one more."""
CERTAIN = 30.0
"""Logit of a share that is all one picture's."""


class FieldFormat(NamedTuple):
    """What a stream's header says of its fields."""

    rows: int = 16  # control points from top to bottom
    columns: int = 16  # control points from left to right
    step: int = DEFAULT_STEP  # index of the step that payloads need not name


class GroupReferences(NamedTuple):
    """The key pictures around a group and what each of its frames looks into."""

    pictures: Sequence[np.ndarray]  # K of [H, W, 3] uint8, as coded
    past: np.ndarray  # [T] int, number of the nearest past picture, -1 for none
    future: np.ndarray  # [T] int, number of the nearest future picture, -1 for none
    past_distance: np.ndarray  # [T] int, frames since the past picture; any where there is none
    future_distance: np.ndarray  # [T] int, frames until the future picture; any where there is none


def references_at(
    times: np.ndarray,  # [T] int, when the frames of the group are shown; none at a key picture
    key_times: np.ndarray,  # [K] int, ascending, when the key pictures are shown
    pictures: Sequence[np.ndarray],  # K of [H, W, 3] uint8
    low_delay: bool = False,  # whether key pictures of the future are out of reach
) -> GroupReferences:
    """The nearest key pictures before and after each frame."""
    times, key_times = np.asarray(times), np.asarray(key_times)
    past = np.searchsorted(key_times, times) - 1
    future = past + 1
    future[(future >= len(key_times)) | low_delay] = -1
    return GroupReferences(
        pictures, past, future, times - key_times[past], key_times[future] - times
    )


def shares(references: GroupReferences, modes: np.ndarray | None = None) -> np.ndarray:
    """Logit of the past picture's share in each frame, before the blend field: [T] float32.

    The nearer picture counts more: the share is the distance to the other one over their sum.
    """
    past, future = np.asarray(references.past), np.asarray(references.future)
    both = (past >= 0) & (future >= 0)
    far = np.where(both, references.future_distance, 1)
    near = np.where(both, references.past_distance, 1)
    logit = np.where(both, np.log(far / near), np.where(past >= 0, CERTAIN, -CERTAIN))
    if modes is not None:
        logit = np.where(both & (modes == PAST), CERTAIN, logit)
        logit = np.where(both & (modes == FUTURE), -CERTAIN, logit)
    return logit.astype(np.float32)


def transformed_prediction(
    prediction: np.ndarray | None, frames: int, rows: int, columns: int
) -> np.ndarray:
    """A prediction at control points as transformed fields: [T, 5, R, C] float32.

    `prediction`: None for zeros, or [T, R, C, n], displacement (x, y) in pixels into the past
    picture (n = 2), into the future one too (4), and the blend (5). Raises ValueError: another
    shape.
    """
    found = np.zeros((frames, OUTPUTS, rows, columns), np.float32)
    if prediction is None:
        return found
    prediction = np.asarray(prediction, np.float32)
    count = prediction.shape[-1]
    if prediction.shape != (frames, rows, columns, count) or count not in (2, 4, 5):
        raise ValueError(
            f"a prediction of shape {prediction.shape} does not fit {frames} frames of "
            f"{rows} x {columns} control points"
        )
    down, across = (np.linalg.inv(field.control_matrix(n)) for n in (rows, columns))
    found[:, :count] = np.einsum("ry,tyxo,cx->torc", down, prediction, across)
    return found


class LastField(NamedTuple):
    """A unit's last field, which may predict those of the next unit."""

    frame: int  # number of its frame
    key: int  # number of the frame that its past picture shows
    points: np.ndarray  # [R, C, 5] float32


def predicted_points(
    last: LastField | None, times: np.ndarray, keys: np.ndarray, form: FieldFormat
) -> np.ndarray | None:
    """The prediction [T, R, C, 2] of a group's displacements into past pictures, if there is one.

    `last`: None where the field before may not predict; `times`, `keys`: [T] int, numbers of the
    group's frames, and of those that their past pictures show.
    """
    if last is None or (times[0], keys[0]) != (last.frame + 1, last.key):
        return None
    if last.points.shape[:2] != (form.rows, form.columns):
        return None
    return np.where((keys == last.key)[:, None, None, None], last.points[None, ..., :2], 0)


Generator = Callable[[Sources], jax.Array]
"""Sources -> frames [B, H, W, 3] in [0, 1]; a pytree, `jax.tree_util.Partial`."""


def _displaced(
    qp: jax.Array,
    pictures: jax.Array,
    looks: field.References,
    points: jax.Array,
    size: tuple[int, int],
    two: bool,
) -> tuple[field.Candidates, Sources]:
    """Key pictures [K, H, W, 3] uint8 as displaced, in 8-bit steps and for a generator."""
    pictures = pictures.astype(jnp.float32)
    warped = field.warp(bicubic.prepare(pictures), looks, field.dense(points, *size), two)
    share = looks.share[:, None, None, None]
    past = jnp.where(share <= -CERTAIN, warped.future, warped.past)
    future = jnp.where(share >= CERTAIN, warped.past, warped.future)
    still = pictures[looks.past], pictures[looks.future]
    return warped, Sources(jnp.concatenate([past, future, *still], -1) / 255, warped.share, qp)


def _render(generator, qp, pictures, past, future, share, points, size, two: bool):  # noqa: ANN001, ANN202
    looks = field.References(past, future, share)
    warped, sources = _displaced(qp, pictures, looks, points, size, two)
    made = warped.blend() if generator is None else 255 * generator(sources)
    return jnp.clip(jnp.round(made), 0, 255).astype(jnp.uint8)


@functools.lru_cache(maxsize=8)  # of programs, which are large
def _renderer(
    size: tuple[int, int], two: bool, most: int, max_memory: int, shown_by: object
) -> Fitting:
    program = functools.partial(_render, size=size, two=two)
    return Fitting(fast_jit(program) if shown_by else jax.jit(program), most, max_memory)


def _looked_into(references: GroupReferences) -> tuple[np.ndarray, np.ndarray, bool]:
    """Past and future pictures of every frame, the other where none; whether any has a future."""
    past, future = np.asarray(references.past), np.asarray(references.future)
    two = bool((future >= 0).any())
    return np.where(past < 0, future, past), np.where(future < 0, past, future), two


def rendered(
    references: GroupReferences,  # the key pictures
    points: np.ndarray,  # the control points
    modes: np.ndarray | None = None,  # [T]; None for both pictures wherever there are two
    # bytes that the program may take; fewer frames are warped at once then
    max_memory: int = DEFAULT_MAX_MEMORY,
    generator: Generator | None = None,  # makes the frames; None blends the displaced pictures
    qp: int = 0,  # of the intra key picture before the frames, for the generator
) -> Iterator[np.ndarray]:
    """Yields the frames [H, W, 3] uint8 that control points [T, R, C, 5] make of the key pictures.

    Raises CodecError: a single frame takes more.
    """
    height, width = references.pictures[0].shape[:2]
    past, future, two = _looked_into(references)
    share, points = shares(references, modes), np.moveaxis(points, -1, 1)
    most = RENDERED_TOGETHER if len(points) > 1 else 1
    shown_by = None if generator is None else jax.tree.structure(generator)
    fitting = _renderer((height, width), two, most, max_memory, shown_by)

    def frames_at(start: int, count: int) -> slice:
        """At most `count` frames from `start` on that look into at most one picture more."""
        for last in range(min(start + count, len(points)), start, -1):
            if len(np.unique([past[start:last], future[start:last]])) <= count + 1:
                break
        return slice(start, last)

    def inputs(span: slice, count: int) -> tuple[Any, ...]:
        """Arguments for some frames, of shapes that depend on `count` alone."""
        used = np.unique([past[span], future[span]])
        pictures = padded(np.stack([references.pictures[k] for k in used]), count + 1)
        places = (np.searchsorted(used, side[span]).astype(np.int32) for side in (past, future))
        level = np.full(count, qp, np.float32)
        rest = (padded(x, count) for x in (*places, share[span], points[span]))
        return generator, level, pictures, *rest

    what = f"warping a frame of {width}x{height} pixels on {'x'.join(map(str, points.shape[2:]))}"
    render_batch, size = fitting.compiled(
        lambda count: inputs(frames_at(0, count), count), f"{what} control points"
    )
    start = 0
    while start < len(points):
        span = frames_at(start, size)
        yield from np.asarray(render_batch(*inputs(span, size)))[: span.stop - start]
        start = span.stop


def sources(
    references: GroupReferences, points: np.ndarray, modes: np.ndarray | None = None, qp: int = 0
) -> Sources:
    """What a generator makes the frames of a group from; arguments as of `rendered`."""
    past, future, two = _looked_into(references)
    share, points = shares(references, modes), np.moveaxis(points, -1, 1)
    size, made = references.pictures[0].shape[:2], []
    for t in range(len(points)):
        pictures = np.stack([references.pictures[past[t]], references.pictures[future[t]]])
        looks = field.References(np.array([0]), np.array([1]), share[t : t + 1])
        level = np.full(1, qp, np.float32)
        made.append(_sources(level, pictures, looks, points[t : t + 1], size=size, two=two))
    return jax.tree.map(lambda *parts: np.concatenate(parts), *made)


@functools.partial(jax.jit, static_argnames=("size", "two"))
def _sources(*inputs: Any, size: tuple[int, int], two: bool) -> Sources:
    return _displaced(*inputs, size, two)[1]


def render(
    references: GroupReferences, points: np.ndarray, modes: np.ndarray | None = None
) -> np.ndarray:
    """The frames of `rendered`, all at once: [T, H, W, 3] uint8."""
    return np.stack(list(rendered(references, points, modes)))


def fields_of(
    value: FieldLevels, references: GroupReferences, prediction: np.ndarray | None = None
) -> np.ndarray:
    """Control points [T, R, C, 5] float32 of a payload's levels."""
    parts = segments(references.past, references.future)
    synthesis = field.synthesis_matrix(parts, STEPS[value.step])
    frames, (rows, columns) = len(synthesis), value.levels.shape[1:]
    transformed = np.einsum("ton,nrc->torc", synthesis, value.levels.astype(np.float32))
    transformed += transformed_prediction(prediction, frames, rows, columns)
    down, across = field.control_matrix(rows), field.control_matrix(columns)
    points = np.einsum("yr,torc,xc->tyxo", down, transformed, across, optimize=True)
    return points.astype(np.float32)


def decode_fields(
    payload: bytes,
    references: GroupReferences,
    form: FieldFormat,
    prediction: np.ndarray | None = None,
) -> tuple[np.ndarray, FieldLevels]:
    """Control points [T, R, C, 5] float32 of a group of frames, and what the payload says.

    Points are displacements (x, y) in pixels into the past and into the future picture, and what is
    added to the logit of the past one's share. `payload`: of `search.encode_group`; b"" stands for
    fields that equal the prediction, which is that of the encoder, as in `transformed_prediction`.
    Raises ValueError: bytes that no encoder wrote, or a frame without a key picture.
    """
    parts = segments(references.past, references.future)
    value = decode_levels(payload, parts, form.rows, form.columns, form.step)
    return fields_of(value, references, prediction), value
