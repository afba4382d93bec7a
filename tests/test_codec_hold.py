"""The encoder's choice between motion and the key picture."""

import numpy as np

from hvc_jax.codec.hold import AT_MOST, WINDOW, better_held


def _clip(count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Random frames [T, 24, 24, 3] and a grey key picture."""
    frames = np.random.default_rng(0).integers(60, 190, (count, 24, 24, 3)).astype(np.uint8)
    return frames, frames[0] * 0 + 100


def test_perfect_motion_is_kept_and_useless_motion_is_not():
    frames, key = _clip()
    assert not better_held(frames, frames, key).any()
    assert better_held(frames, np.repeat(key[None], len(frames), 0), key).all()


def test_the_choice_is_between_mean_errors_of_a_window():
    frames = np.full((60, 24, 24, 3), 100, np.uint8)
    key = np.full((24, 24, 3), 110, np.uint8)
    made = frames + np.uint8(2)
    made[30:] = 140  # from here on motion is wrong
    held = better_held(frames, made, key)
    slow = []
    for t in range(60):
        part = range(max(t - WINDOW // 2, 0), min(t + WINDOW // 2 + 1, 60))
        moved = np.mean([(made[i].astype(float) - 100).mean() ** 2 for i in part])
        slow.append(moved > AT_MOST * 100)
    assert held.tolist() == slow and held[-1] and not held[0]


def test_one_bad_frame_among_good_ones_does_not_flicker():
    frames = np.full((60, 24, 24, 3), 100, np.uint8)
    made, key = frames.copy(), np.full((24, 24, 3), 120, np.uint8)
    made[30] = 125
    assert not better_held(frames, made, key).any()


def test_what_is_nearer_but_torn_is_held():
    rng = np.random.default_rng(1)
    stripes = np.where(np.arange(48) // 4 % 2, 170, 80)[None, :, None] + np.zeros((48, 1, 3))
    frames = np.repeat(stripes[None].astype(np.uint8), 20, 0)
    key = frames[0] + np.uint8(40)  # all there, too bright
    torn = np.clip(frames + rng.normal(0, 34, frames.shape), 0, 255).astype(np.uint8)
    assert np.square(torn - frames.astype(float)).mean() < AT_MOST * 40**2
    assert better_held(frames, torn, key).all()
    assert not better_held(frames, frames + np.uint8(34), key).any()
