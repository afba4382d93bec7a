"""Polishing of latents through the decoder, and the bodies that the encoder believes."""

import io

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import FrozenConfigDict
from tiny_export import FPS, make_bodies, make_export, make_frames

from hvc_jax.codec import polish
from hvc_jax.codec.codec import Codec
from hvc_jax.codec.options import EncodeOptions
from hvc_jax.codec.scenes import BodyFinder, lasting
from hvc_jax.models.prior import FactorizedPrior
from hvc_jax.pose.estimator import Estimate, nobody
from hvc_jax.stream.container import StreamReader, UnitType, motion_group
from hvc_jax.stream.schema import token_schema
from hvc_jax.stream.vectors import VectorDecoder

COUNT = 11  # a batch and a part of one
SCHEMA = token_schema(3, [0.5, 0.25, 1.0])


class Linear(nn.Module):
    """A decoder that adds the change of two numbers, times two patterns, to the key picture.

    The third number is sent and shows nothing.
    """

    config: FrozenConfigDict = FrozenConfigDict({"past": 1})

    def setup(self) -> None:
        self.prior = FactorizedPrior(3)

    def reference(self, key: jax.Array) -> jax.Array:
        return key

    def synthesise(self, features: jax.Array, key_latent: jax.Array, latent: jax.Array) -> tuple:
        line = jnp.linspace(-1, 1, features.shape[1])
        plane = jnp.meshgrid(jnp.sin(3 * line), line, indexing="ij")
        patterns = jnp.stack(plane)
        change = jnp.einsum("bk,khw->bhw", (latent - key_latent)[:, :2], patterns)
        return features + 0.05 * change[..., None], {}

    def rate(self, levels: jax.Array, past: jax.Array) -> jax.Array:
        return self.prior(levels - past[0])

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.prior(x)


@pytest.fixture(scope="module")
def linear() -> tuple[Linear, dict, polish.Polisher]:
    model = Linear()
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 3)))
    return model, variables, polish.Polisher(model, variables, SCHEMA)


def _case(model: Linear, variables: dict) -> tuple[np.ndarray, ...]:
    """Frames that the decoder made, latents that are off, the key's latent, the key picture."""
    truth = np.cumsum(np.random.default_rng(0).normal(size=(COUNT, 3)), 0).astype(np.float32)
    key = np.array([0.5, -0.25, 1.0], np.float32)
    picture = np.full((64, 64, 3), 128, np.uint8)
    features = jnp.full((COUNT, 64, 64, 3), 128 / 255)
    made, _ = model.apply(variables, features, jnp.asarray(key[None]), truth, method="synthesise")
    frames = np.round(np.clip(np.asarray(made), 0, 1) * 255).astype(np.uint8)
    off = truth + np.random.default_rng(1).normal(size=truth.shape).astype(np.float32)
    return frames, off, key, picture


@pytest.fixture(scope="module")
def semantic(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    return Codec(make_export(tmp_path_factory.mktemp("models"), "semantic"))


@pytest.fixture(scope="module")
def keypoint(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    return Codec(make_export(tmp_path_factory.mktemp("models"), "keypoint"))


def test_objective_is_bits_and_squared_error(linear: tuple) -> None:
    model, variables, polisher = linear
    frames, off, key, picture = _case(model, variables)
    found = polisher.objective(frames, off, polisher.key(picture, key), key, quantiser=128)
    steps = 2 * np.array([0.5, 0.25, 1.0], np.float32)
    levels = np.round(off / steps)
    residual = np.diff(np.concatenate([key[None] / steps, levels]), axis=0) * 2
    residual[0] = (levels[0] - key / steps) * 2
    slow = float(model.apply(variables, jnp.asarray(residual)).sum())
    unit = jnp.asarray(picture[None], jnp.float32) / 255
    for frame, latent in zip(frames, levels * steps, strict=True):
        made, _ = model.apply(variables, unit, key[None], latent[None], method="synthesise")
        error = np.square(np.clip(np.asarray(made[0]), 0, 1) * 255.0 - frame)
        slow += polish.LMBDA * error.mean()
    assert found == pytest.approx(slow, rel=1e-4)


@pytest.mark.parametrize("quantiser", [64, 128])
def test_polished_latents_are_better_and_lie_on_the_lattice(linear: tuple, quantiser: int) -> None:
    model, variables, polisher = linear
    frames, off, key, picture = _case(model, variables)
    start = polisher.key(picture, key)
    better = polisher.polish(frames, off, start, key, 30, quantiser)
    costs = [polisher.objective(frames, x, start, key, quantiser) for x in (off, better)]
    assert costs[1] < 0.7 * costs[0]
    levels = better / (quantiser / 64 * np.array([0.5, 0.25, 1.0]))
    np.testing.assert_allclose(levels, np.round(levels), atol=1e-4)
    # What shows nothing only costs bits: it comes to rest.
    assert np.abs(np.diff(better[:, 2])).sum() <= np.abs(np.diff(off[:, 2])).sum()


def test_polishing_is_never_worse_than_its_start(
    linear: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, variables, polisher = linear
    frames, off, key, picture = _case(model, variables)
    start = polisher.key(picture, key)
    monkeypatch.setattr(polish, "_PACE", 1e3)  # every step throws it far away
    worse = polisher.polish(frames, off, start, key, steps=2)
    before, after = (polisher.objective(frames, x, start, key) for x in (off, worse))
    assert after <= before


def test_from_effort_two_on_what_is_coded_is_polished(
    keypoint: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polish, "STEPS", (0, 0, 2, 5))
    calls = []

    def spy(frames, latents, key, before, steps, quantiser):  # noqa: ANN001, ANN202
        calls.append((len(frames), steps, quantiser, before))
        return latents + 40.0

    monkeypatch.setattr(keypoint.networks.polisher, "polish", spy)
    monkeypatch.setattr(keypoint.networks.polisher, "key", lambda picture, latent: None)
    tables, frames = keypoint.export.tables, make_frames(COUNT)
    for effort, steps in ((1, None), (2, 2), (3, 5)):
        calls.clear()
        out = io.BytesIO()
        options = EncodeOptions(key_codec="av1", effort=effort, hold=False, key_every=6)
        keypoint.encode(iter(frames), out, fps=FPS, options=options)
        if steps is None:
            assert not calls
            continue
        assert [call[:3] for call in calls] == [(6, steps, 64), (5, steps, 64)]
        out.seek(0)
        reader = StreamReader(out)
        vectors = VectorDecoder(tables.schema, tables, reader.header.quantiser)
        keys, coded = [], []
        for unit in reader.units():
            if unit.type == UnitType.STATIC:
                keys.append(vectors.key(unit.payload))
            elif unit.type == UnitType.MOTION:
                coded.append(vectors.motion(motion_group(unit)))
        assert coded[0][1:].mean() > 30 > coded[0][0].mean()  # the key frame itself stays
        np.testing.assert_allclose(calls[1][3], keys[1], atol=0.2)  # before a key: nothing but it


def _estimates(monkeypatch: pytest.MonkeyPatch, trust: np.ndarray) -> list:
    """Replaces the estimator by one that answers with `trust`; returns what it was asked."""
    asked, at = [], iter(trust)

    def estimate(frames: np.ndarray, effort: int, reference: object, **_: object) -> Estimate:
        asked.append((len(frames), reference))
        found = np.array([next(at) for _ in frames])
        return nobody(len(frames))._replace(bodies=make_bodies(len(frames)), confidence=found)

    monkeypatch.setattr("hvc_jax.pose.estimator.estimate", estimate)
    return asked


def test_scenes_are_estimated_apart_and_chunks_go_on_from_a_reference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trust = np.concatenate([[0.1, 0.9, 0.9, 0.9], np.ones(10)])
    asked = _estimates(monkeypatch, trust)
    first, second = make_frames(6) // 2, 255 - make_frames(8) // 2
    find = BodyFinder(1)
    vectors, found = find(np.concatenate([first[:4]]))
    assert vectors.shape == (4, 188) and found.shape == (4,)
    find(np.concatenate([first[4:], second]))
    lengths, references = zip(*asked, strict=True)
    assert lengths == (4, 2, 8)
    assert references[0] is None and references[2] is None  # nothing before the cut counts
    np.testing.assert_array_equal(references[1].picture, first[1])  # the first that is trusted


def test_a_key_frame_of_nobody_is_replaced_when_somebody_appears(
    semantic: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust = np.concatenate([np.full(6, 0.1), [0.9] * 5, [0.1], np.full(18, 0.9)])
    assert lasting(trust)[12:19].all() and not lasting(trust)[:12].any()
    _estimates(monkeypatch, trust)
    out, seen = io.BytesIO(), []
    semantic.encode(
        iter(make_frames(30)),
        out,
        fps=FPS,
        options=EncodeOptions(key_codec="av1", hold=False),
        confidence=seen,
    )
    units = list(StreamReader(io.BytesIO(out.getvalue())).units())
    assert [unit.frame for unit in units if unit.type == UnitType.KEY] == [0, 12]
    assert seen == trust.tolist()


def test_working_size_is_a_half_or_quarter_that_networks_take() -> None:
    sizes = {64: 64, 128: 128, 192: 192, 256: 128, 288: 288, 384: 192, 512: 128}
    for side, small in sizes.items():
        assert polish._shrunk(np.zeros((1, side, side, 3), np.uint8)).shape[1] == small
