"""What errors cost in pixels of the projected mesh, and that weighing them by it pays."""

import numpy as np

from hvc_jax.codec.importance import mesh_importance, projected_vertices
from hvc_jax.stream.schema import semantic_schema
from hvc_jax.stream.tables import default_tables
from hvc_jax.stream.vectors import encode_vectors

SCHEMA = semantic_schema("upper31", camera=False)
SENT = [slot.index for slot in SCHEMA.dynamic]
STEPS = np.array([slot.step for slot in SCHEMA.dynamic])


def track(frames: int) -> np.ndarray:
    """Vectors of a person in the middle who moves as at random, every number by steps."""
    rng = np.random.default_rng(0)
    vectors = np.zeros((frames, SCHEMA.size), np.float32)
    speed = np.stack([np.convolve(x, np.ones(5) / 5, "valid") for x in rng.normal(size=(31, 104))])
    vectors[:, SENT] = np.cumsum(speed, 1).T[:frames] * STEPS
    vectors[:, -3] = 0.9
    return vectors


def test_importance_is_the_displacement_that_a_step_makes() -> None:
    pose = track(30)[-1]
    weights = mesh_importance(SCHEMA, pose)
    moved = np.repeat(pose[None], 32, 0)
    moved[np.arange(1, 32), SENT] += STEPS
    points = projected_vertices(moved, 256)
    square = ((points[1:] - points[0]) ** 2).sum(-1).mean(-1)
    np.testing.assert_allclose(
        weights, np.clip(square / np.median(square), 0.25, 4), rtol=1e-2, atol=1e-2
    )
    names = [slot.name for slot in SCHEMA.dynamic]
    assert weights[names.index("pelvis_y")] > weights[names.index("head_y")]
    assert weights[names.index("expression_9")] < 1


def test_weighing_errors_by_pixels_saves_pixels_at_equal_bits() -> None:
    vectors = track(100)
    truth = projected_vertices(vectors[::5], 256)

    def cost(quantiser: int, weights: np.ndarray | None) -> tuple[int, float]:
        coded = encode_vectors(
            SCHEMA,
            default_tables(SCHEMA),
            vectors,
            quantiser=quantiser,
            rate_weight=0.2,
            search_width=4,
            importance=weights,
        )
        moved = projected_vertices(coded.reconstructed[::5], 256) - truth
        return sum(len(group.payload) for group in coded.groups), float((moved**2).sum(-1).mean())

    sizes, errors = zip(*(cost(q, None) for q in (56, 64, 72)), strict=True)
    size, error = cost(64, mesh_importance(SCHEMA, vectors[0]))
    assert sizes[2] < size < sizes[0]
    assert error < 0.93 * np.interp(size, sizes[::-1], errors[::-1])
