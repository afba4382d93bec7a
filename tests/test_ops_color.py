import numpy as np
import pytest

from hvc_jax.ops.color import _double, rgb_to_yuv420, yuv420_to_rgb


@pytest.mark.parametrize(
    "rgb, expected",
    [  # ITU-R BT.709-6 item 4.6, 8 bits
        ((255, 255, 255), (235, 128, 128)),
        ((0, 0, 0), (16, 128, 128)),
        ((255, 0, 0), (63, 102, 240)),
        ((0, 255, 0), (173, 42, 26)),
        ((0, 0, 255), (32, 240, 118)),
    ],
)
@pytest.mark.parametrize("bits", [8, 10])
def test_colour_bars_have_the_published_values(rgb, expected, bits):
    picture = np.broadcast_to(np.array(rgb, np.uint8), (4, 4, 3))
    planes = rgb_to_yuv420(picture, bits)
    for plane, value in zip(planes, expected, strict=True):
        assert np.abs(plane / 2 ** (bits - 8) - value).max() <= 0.51
    assert np.abs(yuv420_to_rgb(*planes, bits).astype(int) - picture).max() <= (bits == 8) * 2


def test_grey_survives_ten_bits_exactly():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, -1)
    np.testing.assert_array_equal(yuv420_to_rgb(*rgb_to_yuv420(grey)), grey)


def test_smooth_colour_survives_within_two_levels():
    y, x = np.mgrid[:32, :32]
    picture = np.stack([x * 4 + 60, y * 4 + 60, 200 - 2 * x - 2 * y], -1).astype(np.uint8)
    back = yuv420_to_rgb(*rgb_to_yuv420(picture))
    assert np.abs(back[2:-2, 2:-2].astype(int) - picture[2:-2, 2:-2]).max() <= 2


def test_doubling_equals_a_slow_reference():
    plane = np.random.default_rng(0).random((3, 4))
    out = _double(plane)
    for i in range(6):
        for j in range(8):
            # Centre-sited: sample i of the large grid lies at (i + 1/2) / 2 - 1/2 of the small.
            u, v = np.clip((i - 0.5) / 2, 0, 2), np.clip((j - 0.5) / 2, 0, 3)
            a, b = int(min(u, 1)), int(min(v, 2))
            p, q = u - a, v - b
            value = (1 - p) * ((1 - q) * plane[a, b] + q * plane[a, b + 1])
            value += p * ((1 - q) * plane[a + 1, b] + q * plane[a + 1, b + 1])
            assert abs(out[i, j] - value) < 1e-12


def test_odd_sides_are_refused():
    with pytest.raises(ValueError, match="even"):
        rgb_to_yuv420(np.zeros((3, 4, 3), np.uint8))
