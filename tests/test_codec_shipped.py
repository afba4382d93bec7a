"""The shipped models decode what they code to pictures, for a body of any shape."""

import io
from fractions import Fraction

import numpy as np
import pytest

from hvc_jax.body import params
from hvc_jax.codec.codec import Codec
from hvc_jax.models.export import load_export

FRAMES, SIDE = 4, 64


@pytest.mark.parametrize("variant", ["semantic", "keypoint"])
def test_decoded_frames_are_pictures_like_the_source(variant):
    # Shape coefficients that are not zero once turned every frame black: a compiled matrix
    # product with a broadcast operand gave NaN.
    ramp = np.linspace(60, 200, SIDE)[None, :, None] + np.zeros((SIDE, SIDE, 3))
    clip = np.repeat(ramp[None].astype(np.uint8), FRAMES, 0)
    bodies = np.zeros((FRAMES, params.BODY_VECTOR_SIZE), np.float32)
    bodies[:, :10] = np.array([-0.5, -0.7, 0.4, 0.7, -0.1, -0.1, 0.2, 0.1, -0.4, -0.3])
    bodies[:, params.CAMERA.start] = 0.8
    bodies[:, params.VECTOR_NAMES.index("left_shoulder_z")] = -0.3 * np.arange(FRAMES)
    codec, stream = Codec(load_export(variant)), io.BytesIO()
    codec.encode(clip, stream, fps=Fraction(25), bodies=bodies)
    stream.seek(0)
    decoded = np.stack(list(codec.decode(stream))).astype(float)
    assert decoded.shape == clip.shape
    assert np.abs(decoded - clip).mean() < 20

    # A single frame is drawn from what its key frame was readied to once.
    networks = codec.networks
    latents = networks.analyse(clip, clip[0], bodies)
    key = networks.key_frame(clip[0], latents[0])
    together = list(networks.draw(clip[0], key.features, key.latent, latents))
    for latent, frame in zip(latents, together, strict=True):
        alone, _ = networks.draw_one(key, latent)
        assert np.abs(alone.astype(int) - frame).max() <= 1
