"""Labels that two networks agree upon, and masks looked at from near."""

import numpy as np
import pytest

from hvc_jax.pose.label_agreement import agree
from hvc_jax.pose.label_clip import mask_in_box


def test_agreement_raises_confidence_and_a_sure_objection_lowers_it():
    points, others = np.zeros((17, 2), np.float32), np.zeros((17, 2), np.float32)
    others[1], others[2] = [0.04, 0], [1.0, 0]
    confidence, sure = np.full(17, 0.5, np.float32), np.full(17, 0.9, np.float32)
    sure[3] = 0.1
    others[3] = [1.0, 0]
    fused, trust = agree(points, confidence, others, sure, size=1.0)
    assert trust[0] == pytest.approx(0.75) and trust[1] == pytest.approx(0.75)
    np.testing.assert_allclose(fused[1], [0.01, 0], atol=1e-6)  # a quarter of the way
    assert trust[2] == pytest.approx(0.125) and (fused[2] == 0).all()
    assert trust[3] == 0.5 and (fused[3] == 0).all()  # who sees nothing does not object


def test_what_no_one_sees_stays_unseen():
    _, trust = agree(np.zeros((17, 2)), np.zeros(17), np.zeros((17, 2)), np.ones(17), 1.0)
    assert (trust == 0).all()


def test_a_mask_through_a_window_lies_where_the_person_is():
    picture = np.zeros((120, 120, 3), np.uint8)
    picture[30:60, 60:90] = 255

    class Bright:
        """Sees bright pixels as a person."""

        input_shape = (1, 64, 64, 3)

        def __call__(self, array):
            return [array[..., :1]]

    mask = mask_in_box(Bright(), picture, np.array([0.25, -0.25, 0.5], np.float32))
    assert mask.shape == (120, 120)
    assert ((mask > 127) == (picture[..., 0] > 0)).mean() > 0.985
