"""Bodies of a real clip from its pixels: the exported regressor, then the fit to its keypoints."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import safe_open
from safetensors.numpy import save_file
from scipy.special import expit

from hvc_jax.body.assets import load_body
from hvc_jax.body.landmarks import COCO_MIRROR, Landmarks, landmarks_of
from hvc_jax.body.params import EXPRESSION
from hvc_jax.models.keypoint_network import INPUT_SIZE, Keypoints
from hvc_jax.ops import rotation
from hvc_jax.ops.compile import fast_jit
from hvc_jax.pose.appearance import Reference
from hvc_jax.pose.confidence import DOUBT, bridge_hopeless, trusted, witnesses
from hvc_jax.pose.evidence import Agreement, agreement, joint_confidence
from hvc_jax.pose.face import expressions
from hvc_jax.pose.face_sight import see_face
from hvc_jax.pose.facing import doubted, head_windows, ordered, shown_over_time, turning
from hvc_jax.pose.fit import fit_clip, smooth_over_time
from hvc_jax.pose.fit_objective import PosePrior
from hvc_jax.pose.regressor import BodyRegressor, Lifted
from hvc_jax.pose.sight import see

_BATCH = 16
_RARE = 1.0  # logits by which backs are rarer in clips than where the network learned them
_STEPS = {0: 0, 1: 250, 2: 600, 3: 1500}  # Adam steps by effort


class RegressorExport(NamedTuple):
    """A trained body regressor.

    Attributes:
      model: the network.
      params: its parameters, float32.
      prior: over poses, for the fit.
    """

    model: BodyRegressor
    params: Any
    prior: PosePrior


def regressor_path() -> Path:
    """Returns where the shipped regressor lies."""
    return Path(__file__).resolve().parents[1] / "pretrained" / "body_regressor.safetensors"


def save_regressor(path: str | Path, model: BodyRegressor, params: Any, prior: PosePrior) -> None:
    """Writes a regressor as safetensors: 16-bit parameters, float32 prior, sizes as metadata."""
    arrays = {
        "/".join(key): np.ascontiguousarray(np.asarray(value, np.float16))
        for key, value in flatten_dict(params).items()
    }
    arrays["prior/mean"] = np.asarray(prior.mean, np.float32)
    arrays["prior/whiten"] = np.asarray(prior.whiten, np.float32)
    config = {"widths": list(model.widths), "lifter_width": model.lifter_width}
    target = Path(path)
    part = target.with_name(target.name + ".part")
    save_file(arrays, part, metadata={"kind": "body_regressor", "config": json.dumps(config)})
    part.replace(target)


@functools.lru_cache(maxsize=2)
def load_regressor(path: str | None = None) -> RegressorExport:
    """Returns the regressor in a file, or the shipped one.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is no body regressor.
    """
    source = Path(path) if path is not None else regressor_path()
    if not source.is_file():
        raise FileNotFoundError(f"no body regressor at {source}; train one: hvc train-regressor")
    with safe_open(source, framework="numpy") as file:
        metadata = file.metadata() or {}
        if metadata.get("kind") != "body_regressor":
            raise ValueError(f"{source} is no body regressor; give one of hvc train-regressor")
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    config = json.loads(metadata["config"])
    prior = PosePrior(
        jnp.asarray(arrays.pop("prior/mean")), jnp.asarray(arrays.pop("prior/whiten"))
    )
    tree = {tuple(k.split("/")): jnp.asarray(v, jnp.float32) for k, v in arrays.items()}
    model = BodyRegressor(tuple(config["widths"]), config["lifter_width"])
    return RegressorExport(model, unflatten_dict(tree), prior)


@functools.lru_cache(maxsize=2)
def _landmarks() -> Landmarks:
    return landmarks_of(load_body())


@functools.partial(fast_jit, static_argnums=(0,))
def look_through(model: BodyRegressor, params: Any, frames: jax.Array, box: jax.Array) -> Keypoints:
    """Returns what is in one window of every frame, seen both ways; points in picture units.

    Heat and mask stay those of the window.

    Args:
      model: the network.
      params: its parameters.
      frames: [B, H, W, 3] uint8, H = W.
      box: [3] (u, v, half side) of the window.
    """
    line = (jnp.arange(INPUT_SIZE) + 0.5) / INPUT_SIZE * 2 - 1
    side = frames.shape[1]

    def weights(centre: jax.Array) -> jax.Array:
        # A triangle filter no narrower than a pixel of either raster: area-like when shrinking.
        at = ((centre + line * box[2]) + 1) / 2 * side - 0.5
        reach = jnp.maximum(1.0, box[2] * side / INPUT_SIZE)
        w = jnp.maximum(0.0, 1 - jnp.abs(at[:, None] - jnp.arange(side)) / reach)
        inside = (at > -1) & (at < side)
        return w * inside[:, None] / jnp.maximum(w.sum(1, keepdims=True), 1e-3)

    picture = frames.astype(jnp.float32) / 255
    rows, columns = weights(box[1]), weights(box[0])
    picture = jnp.einsum("yh,xw,bhwc->byxc", rows, columns, picture, optimize=True)
    both = jnp.concatenate([picture, picture[:, :, ::-1]])
    found = model.apply(params, both, method="find")
    count = len(frames)
    # The mirrored picture is a second opinion.
    mirrored = found.points[count:][:, COCO_MIRROR] * jnp.array([-1.0, 1.0])
    c0 = found.confidence[:count]
    c1 = found.confidence[count:][:, COCO_MIRROR]
    share = (c0**2 / (c0**2 + c1**2 + 1e-9))[..., None]
    points = found.points[:count] * share + mirrored * (1 - share)
    apart = jnp.linalg.norm(found.points[:count] - mirrored, axis=-1)
    confidence = (c0 + c1) / 2 * jnp.exp(-((apart / 0.15) ** 2))
    points = box[:2] + points * box[2]
    heat = found.heat[:count]
    mask = (found.mask[:count] + found.mask[count:, :, ::-1]) / 2
    return Keypoints(points, confidence, heat, found.visibility[:count], mask)


@functools.partial(jax.jit, static_argnums=(0,))
def _lift(model: BodyRegressor, params: Any, points: jax.Array, confidence: jax.Array) -> Lifted:
    return model.apply(params, points, confidence, method="lift")


_to_matrix = jax.jit(rotation.six_d_to_matrix)


class Sight(NamedTuple):
    """What the network sees in T frames.

    Attributes:
      points: [T, 17, 2] keypoints in [-1, 1] of the picture.
      confidence: [T, 17] in [0, 1]; 0 for keypoints out of the picture.
      mask: [T, 32, 32] logits of "person here", of the window; None if unknown.
      back: [T] logits of "the person shows the back"; None if unknown.
    """

    points: np.ndarray
    confidence: np.ndarray
    mask: np.ndarray | None
    back: np.ndarray | None = None


def look(frames: np.ndarray, export: RegressorExport, box: np.ndarray | None = None) -> Sight:
    """Returns what the network sees in a square clip.

    Args:
      frames: [T, H, W, 3] uint8, H = W.
      export: the regressor.
      box: (u, v, half side) of the window to look through; None for the whole picture.
    """
    window = jnp.asarray([0.0, 0.0, 1.0] if box is None else box, jnp.float32)
    parts = []
    for first in range(0, len(frames), _BATCH):
        chunk = frames[first : first + _BATCH]
        filled = np.concatenate([chunk, np.repeat(chunk[-1:], _BATCH - len(chunk), 0)])
        found = look_through(export.model, export.params, jnp.asarray(filled), window)
        seen = (found.points, found.confidence, found.mask)
        parts.append([np.asarray(column)[: len(chunk)] for column in seen])
    points, confidence, mask = (np.concatenate(column) for column in zip(*parts, strict=True))
    inside = (np.abs(points) <= 1.0).all(-1)
    return Sight(points, confidence * inside, mask)


def clip_box(points: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Returns the window (u, v, half side) that holds the person through the whole clip."""
    good = points[confidence > 0.3]
    if len(good) < 10:
        return np.array([0.0, 0.0, 1.0], np.float32)
    low, high = np.quantile(good, 0.01, axis=0), np.quantile(good, 0.99, axis=0)
    half = min(1.0, float((high - low).max()) / 2 * 1.3)
    centre = np.clip((low + high) / 2, half - 1, 1 - half)
    return np.array([*centre, half], np.float32)


def calmed(points: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Returns keypoints [T, 17, 2] averaged a little over time, as the lifting half expects them.

    Blunders jump: confident frames count for more.

    Args:
      points: [T, 17, 2].
      confidence: [T, 17] in [0, 1].
    """
    return smooth_over_time(points, confidence[..., None] ** 2, 0.7)


def bodies_from_keypoints(
    points: np.ndarray,
    confidence: np.ndarray,
    export: RegressorExport,
    effort: int = 1,
    frames: np.ndarray | None = None,
    reference: Reference | None = None,
    masks: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns body vectors [T, 188] and the fit's error [T, 17] in metres from COCO keypoints.

    Args:
      points: [T, 17, 2] in [-1, 1], v down.
      confidence: [T, 17] in [0, 1].
      export: the regressor, of which the lifting half is used.
      effort: 0 lifts only; 1 to 3 fit longer and longer.
      frames: [T, H, H, 3] uint8 of the same clip, for `fit_clip`.
      reference: for `fit_clip`.
      masks: for `fit_clip`.
    """
    landmarks = _landmarks()
    calm = calmed(points, confidence)
    lifted = _lift(export.model, export.params, jnp.asarray(calm), jnp.asarray(confidence))
    six = np.asarray(lifted.rotations)
    seen = confidence.mean(1)[:, None, None]
    matrices = _to_matrix(jnp.asarray(smooth_over_time(six, seen, 1.5)))
    return fit_clip(
        points,
        confidence,
        np.asarray(matrices),
        np.asarray(lifted.betas),
        np.asarray(lifted.camera),
        landmarks,
        export.prior,
        steps=_STEPS[effort],
        frames=frames,
        reference=reference,
        masks=masks,
    )


class Estimate(NamedTuple):
    """Bodies of a clip and how far to trust them.

    Attributes:
      bodies: [T, 188] float32 body vectors.
      confidence: [T] in [0, 1], how far the body is trusted (`body_trust`); below `DOUBT` it is
        doubted, below `HOPELESS` not the frame's own but bridged from its neighbours.
      joint_confidence: [T, 22] in [0, 1] of the body's joints: what was seen, where it lands.
      explained: [T] in [0, 1], share of what looks like a person that the body lies on; low where
        there are two people. 1 with given keypoints.
    """

    bodies: np.ndarray
    confidence: np.ndarray
    joint_confidence: np.ndarray
    explained: np.ndarray


def testimony(
    bodies: np.ndarray, error: np.ndarray, sight: Sight, export: RegressorExport
) -> tuple[np.ndarray, Agreement | None, np.ndarray]:
    """Returns what tells how far to trust the bodies of a clip.

    Args:
      bodies: [T, 188].
      error: [T, 17] of `bodies_from_keypoints`.
      sight: what they were found in.
      export: the regressor.

    Returns:
      Confidence [T, 17] of keypoints in either order, agreement with the mask, witnesses [T, W].
    """
    agreed = None if sight.mask is None else agreement(bodies, expit(sight.mask))
    seen = sight.confidence if sight.back is None else doubted(sight.confidence, sight.back)
    said = witnesses(bodies, seen, error, sight.points, export.prior, sight.back, agreed)
    return seen, agreed, said


def estimate_bodies(
    frames: np.ndarray,
    effort: int = 1,
    export: RegressorExport | None = None,
    reference: Reference | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns bodies [T, 188] and confidence [T] of `estimate`, with its arguments and errors."""
    found = estimate(frames, effort, export, reference)
    return found.bodies, found.confidence


def estimate(
    frames: np.ndarray,
    effort: int = 1,
    export: RegressorExport | None = None,
    reference: Reference | None = None,
    keypoints: tuple[np.ndarray, np.ndarray] | None = None,
    masks: np.ndarray | None = None,
    expression: bool = False,
) -> Estimate:
    """Returns the bodies of a clip of a person.

    Args:
      frames: [T, H, W, 3] uint8 RGB, square, one person.
      effort: 0 the networks alone; 1 to 3 fit the clip to keypoints and pixels longer and longer.
      export: the regressor; None for the shipped one.
      reference: an earlier frame of the same scene, to go on from.
      keypoints: [T, 17, 2] (u, v) and confidence [T, 17], where they are known better.
      masks: [T, H, H] uint8 or bool, 255 or True where the person is; H a multiple of 64.
      expression: from effort 1 on, also find the expressions of faces that are large enough. For
        encoders they are not worth their bits (experiments/040_fit).

    Raises:
      ValueError: the frames are not [T, H, W, 3] uint8 with H = W, or effort is unknown.
      FileNotFoundError: the package was installed without its regressor.
    """
    if frames.ndim != 4 or frames.shape[1] != frames.shape[2] or frames.dtype != np.uint8:
        raise ValueError(
            f"bodies are found in square uint8 frames [T, H, W, 3], got {frames.dtype} "
            f"{list(frames.shape)}; crop or pad the clip first"
        )
    if effort not in _STEPS:
        raise ValueError(f"effort must be 0, 1, 2 or 3, got {effort}")
    export = export or load_regressor()
    sight = look_twice(frames, export) if keypoints is None else Sight(*keypoints, None)
    bodies, error = bodies_from_keypoints(*sight[:2], export, effort, frames, reference, masks)
    seen, agreed, said = testimony(bodies, error, sight, export)
    trust = trusted(said)
    explained = np.ones(len(frames), np.float32) if agreed is None else agreed.explained
    joints = joint_confidence(seen, error)
    bodies = np.array(bridge_hopeless(bodies, trust))
    if expression and effort and (trust >= DOUBT).any():
        seen = see(frames)
        if seen is not None:
            faces = expressions(see_face(frames, seen), frames.shape[1])
            bodies[:, EXPRESSION] = faces * (trust >= DOUBT)[:, None]
    return Estimate(bodies, trust, joints, explained)


@functools.partial(fast_jit, static_argnums=(0,))
def _face(model: BodyRegressor, params: Any, windows: jax.Array) -> jax.Array:
    both = jnp.concatenate([windows, windows[:, :, ::-1]]).astype(jnp.float32) / 255
    return model.apply(params, both, method="face").reshape(2, -1).mean(0)


def back_logits(frames: np.ndarray, sight: Sight, export: RegressorExport) -> np.ndarray:
    """Returns the logits [T] of "the person shows the back", seen both ways, frame by frame.

    Args:
      frames: [T, H, W, 3] uint8, H = W.
      sight: what `look` saw in them.
      export: the regressor.
    """
    windows, parts = head_windows(frames, sight.points, sight.confidence), []
    for first in range(0, len(windows), _BATCH):
        chunk = windows[first : first + _BATCH]
        filled = np.concatenate([chunk, np.repeat(chunk[-1:], _BATCH - len(chunk), 0)])
        found = _face(export.model, export.params, jnp.asarray(filled))
        parts.append(np.asarray(found)[: len(chunk)])
    return np.concatenate(parts) - _RARE


def look_twice(frames: np.ndarray, export: RegressorExport) -> Sight:
    """Returns what the network sees, keypoints through the window that holds the person.

    Left and right are ordered by whether the clip shows the back in each frame: people seldom turn.

    The mask stays that of the whole picture: other people are outside of the window.
    """
    sight = look(frames, export)
    box = clip_box(sight.points, sight.confidence)
    if box[2] < 0.85:
        near = look(frames, export, box)
        sight = sight._replace(points=near.points, confidence=near.confidence)
    logits = np.clip(back_logits(frames, sight, export), -4, 4)
    back = shown_over_time(logits, sight.confidence[:, :7].mean(1), turning(sight.points))
    points, confidence = ordered(sight.points, sight.confidence, back)
    return sight._replace(points=points, confidence=confidence, back=back)
