"""The training objective: rate + lmbda * distortion, as named terms.

Every function takes [B, H, W, C] pictures in [0, 1] and returns scalars. A term is reported
before its weight, under the name that the NaN check and the log use.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from hvc_jax.ops.warp import average_pool

RATE_UNIT = 65536.0
"""Bits a frame that weigh as much as a distortion of 1 at lmbda 1, whatever the size of the
pictures is; of pictures of 256x256 the rate is then in bits a pixel."""

Features = Callable[[jax.Array], list[jax.Array]]
Terms = dict[str, jax.Array]


def l1(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Mean absolute difference."""
    return jnp.abs(prediction - target).mean()


def halve(pictures: jax.Array) -> jax.Array:
    """Pictures at half the size, each pixel the mean of four; odd borders are dropped."""
    _, h, w, _ = pictures.shape
    return average_pool(pictures[:, : h // 2 * 2, : w // 2 * 2], 2)


def feature_distance(features: Sequence[jax.Array], target: Sequence[jax.Array]) -> jax.Array:
    """Mean over layers of the L1 distance, relative to the mean magnitude of the target's layer.

    The magnitudes of a network's layers differ by orders; relative to them every layer counts
    the same. The target is a constant.
    """
    distances = []
    for x, y in zip(features, target, strict=True):
        y = jax.lax.stop_gradient(y).astype(jnp.float32)
        distances.append(l1(x.astype(jnp.float32), y) / (jnp.abs(y).mean() + 1e-6))
    return sum(distances) / len(distances)


def squared_distance(features: Sequence[jax.Array], target: Sequence[jax.Array]) -> jax.Array:
    """Sum over layers of the squared distance over channels, mean over positions and examples.

    Of the features of `load_perceptual("lpips")` this is LPIPS. The target is a constant.
    """
    distances = []
    for x, y in zip(features, target, strict=True):
        change = x.astype(jnp.float32) - jax.lax.stop_gradient(y).astype(jnp.float32)
        distances.append((change**2).sum(-1).mean())
    return sum(distances)


def cut_windows(pictures: Sequence[jax.Array], side: int, rng: jax.Array) -> list[jax.Array]:
    """The same random square window of several pictures; another one for each example.

    Args:
        pictures: Arrays [B, H, W, C] of one shape.
        side: Of the window, pixels; a picture that is no larger stays whole in that direction.
        rng: Decides where.

    Returns:
        Arrays [B, min(side, H), min(side, W), C].
    """
    count, height, width, _ = pictures[0].shape
    size = min(side, height), min(side, width)
    room = jnp.array([height - size[0] + 1, width - size[1] + 1])
    corners = jax.random.randint(rng, (count, 2), 0, room)

    def cut(picture: jax.Array, corner: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(picture, (*corner, 0), (*size, picture.shape[-1]))

    return [jax.vmap(cut)(p, corners) for p in pictures]


def perceptual_distances(
    extract: Features,
    predictions: Sequence[jax.Array],
    target: jax.Array,
    scales: int,
    distance: Callable[..., jax.Array] = feature_distance,
    window: int = 0,
    rng: jax.Array | None = None,
) -> list[jax.Array]:
    """Feature distance of each prediction to one target, averaged over image scales.

    All pictures of a scale go through the network in one batch.

    Args:
        extract: Maps [B, H, W, 3] pictures to a list of feature maps.
        predictions: Pictures of the target's shape.
        target: [B, H, W, 3].
        scales: 1 for full size, 2 for full and half size, and so on.
        distance: Between two lists of feature maps.
        window: Side of the random part of each picture that is looked at, pixels at its scale; 0
            looks at all of it. A large network costs several times the codec on whole pictures.
        rng: Where the windows lie; needed with a window.

    Returns:
        One scalar a prediction.

    Johnson et al., "Perceptual losses for real-time style transfer"; the pyramid is that of
    Siarohin et al., "First order motion model for image animation", sec. 3.3.
    """
    totals = [jnp.zeros(())] * len(predictions)
    pictures = [*predictions, jax.lax.stop_gradient(target)]
    for scale in range(scales):
        seen = pictures
        if window:
            seen = cut_windows(pictures, window, jax.random.fold_in(rng, scale))
        maps = extract(jnp.concatenate(seen))
        parts = [jnp.split(layer, len(pictures)) for layer in maps]
        goal = [layer[-1] for layer in parts]
        for i in range(len(predictions)):
            totals[i] = totals[i] + distance([layer[i] for layer in parts], goal) / scales
        pictures = [halve(p) for p in pictures]
    return totals


def attended_pictures(aux: dict[str, jax.Array]) -> list[jax.Array]:
    """The pictures "attended_i" of a model's output, coarsest first."""
    return [aux[name] for name in sorted(aux) if name.startswith("attended_")]


def attended_distance(pictures: Sequence[jax.Array], target: jax.Array) -> jax.Array:
    """Mean over scales of the L1 distance to the target, averaged to the size of each.

    Attention that is applied to the colours of the key picture has to give those of the target:
    the attention reconstruction loss of NTED (Ren et al., CVPR 2022, sec. 3.4).
    """
    return sum(l1(x, average_pool(target, target.shape[1] // x.shape[1])) for x in pictures) / len(
        pictures
    )


def flow_distance(aux: dict[str, jax.Array], flow: jax.Array) -> jax.Array:
    """Mean over scales of the L1 distance of where attention looks from a teacher's positions.

    Args:
        aux: "look_i" [B, h, w, 2] (u, v) in [-1, 1], and others.
        flow: [B, H, W, 3], (u, v) and how far to trust them.
    """
    looks = [aux[name] for name in aux if name.startswith("look_")]
    total = jnp.zeros(())
    for look in looks:
        trust = flow[..., 2:] / (flow[..., 2:].mean((1, 2, 3), keepdims=True) + 1e-6)
        block = flow.shape[1] // look.shape[1]
        weight = average_pool(trust, block)
        teacher = average_pool(flow[..., :2] * trust, block) / (weight + 1e-6)
        total = total + (weight * jnp.abs(look - teacher)).mean() / len(looks)
    return total


def hinge_discriminator(real: jax.Array, fake: jax.Array) -> jax.Array:
    """Hinge loss of the discriminator from its scores (Lim and Ye, arXiv 1705.02894)."""
    return (jax.nn.relu(1 - real).mean() + jax.nn.relu(1 + fake).mean()) / 2


def hinge_generator(fake: jax.Array) -> jax.Array:
    """Hinge loss of the generator: raise the scores of what it made."""
    return -fake.mean()


def adversarial_ramp(config: Any, step: jax.Array) -> jax.Array:
    """Share in [0, 1] of the adversarial weights at a step: 0 before the start, then linear."""
    since = (step - config.adversarial_start).astype(jnp.float32)
    return jnp.clip(since / max(config.adversarial_ramp, 1), 0.0, 1.0)


def rate_weight(warmup: float, step: jax.Array) -> jax.Array:
    """Weight in [0, 1] of the rate at a step: linear over the first `warmup` steps, then 1."""
    return jnp.clip(step.astype(jnp.float32) / max(warmup, 1.0), 0.0 if warmup else 1.0, 1.0)


def rate_distortion(
    config: Any,
    outputs: dict[str, Any],
    target: jax.Array,
    extract: Features | None,
    rng: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array, Terms]:
    """Rate and weighted distortion of a model's output, without the adversarial part.

    Args:
        config: The `loss` group: l1, perceptual, perceptual_weights, perceptual_scales,
            perceptual_window, warped, warped_perceptual, attended.
        outputs: "frame" [B, H, W, 3]; "bits" [B], estimated bits of each frame's latent; perhaps
            "group_bits", its parts by name; "aux" with "warped" [B, H, W, 3] or without, and
            with "attended_i" [B, h, w, 3] or without.
        target: [B, H, W, 3].
        extract: Feature network of the perceptual terms; None leaves them out.
        rng: Where the windows of the perceptual terms lie; needed with `perceptual_window`.

    Returns:
        The rate (bits a frame / RATE_UNIT), the weighted sum of the distortions, and the unweighted
        terms: loss/rate, loss/l1, loss/perceptual, loss/warped, loss/warped_perceptual,
        loss/attended, bits/latent (bits a frame) and bits/<group>.
    """
    frame, warped = outputs["frame"], outputs.get("aux", {}).get("warped")
    bits = outputs["bits"].mean()
    terms = {"loss/rate": bits / RATE_UNIT}
    weights = {}
    if config.l1:  # a stage of motion alone does without: then nothing of the generator is computed
        terms["loss/l1"] = l1(frame, target)
        weights["loss/l1"] = config.l1
    if warped is not None and config.warped:
        terms["loss/warped"] = l1(warped, target)
        weights["loss/warped"] = config.warped
    attended = attended_pictures(outputs.get("aux", {}))
    if attended and config.attended:
        terms["loss/attended"] = attended_distance(attended, target)
        weights["loss/attended"] = config.attended
    if extract is not None and config.perceptual:
        names, pictures = ["loss/perceptual"], [frame]
        weights["loss/perceptual"] = config.perceptual
        if warped is not None and config.warped_perceptual:
            names.append("loss/warped_perceptual")
            pictures.append(warped)
            weights["loss/warped_perceptual"] = config.warped_perceptual
        scales, window = config.perceptual_scales, config.perceptual_window
        metric = squared_distance if config.perceptual_weights == "lpips" else feature_distance
        distances = perceptual_distances(extract, pictures, target, scales, metric, window, rng)
        terms.update(zip(names, distances, strict=True))
    distortion = sum(weight * terms[name] for name, weight in weights.items())
    terms["bits/latent"] = bits
    groups = outputs.get("group_bits", {})
    terms.update((f"bits/{name}", group.mean()) for name, group in groups.items())
    return terms["loss/rate"], distortion, terms
