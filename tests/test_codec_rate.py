"""Where rate control looks next."""

from hvc_jax.codec.rate import _next_thirds


def test_the_next_operating_point_is_one_that_was_not_tried() -> None:
    assert _next_thirds(36, -0.7, set()) == 106  # a third of a QP is one
    assert _next_thirds(36, 0.01, set()) == 109  # at least one
    assert _next_thirds(109 / 3, -0.6, {107, 109}) == 108  # between both, and not back to 107
    assert _next_thirds(109 / 3, -0.6, {107, 108, 109}) is None
