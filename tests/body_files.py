"""Random models in the exact on-disk formats of the SMPL family (no licensed data)."""

import numpy as np

PARENTS_24 = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]
_BODY = PARENTS_24[:22]


def _hand(wrist, first):
    return [p for k in range(5) for p in (wrist, first + 3 * k, first + 3 * k + 1)]


PARENTS = {
    "smpl": PARENTS_24,
    "smplh": _BODY + _hand(20, 22) + _hand(21, 37),
    "smplx": [*_BODY, 15, 15, 15, *_hand(20, 25), *_hand(21, 40)],
}


def random_model(kind, vertices=300, directions=20, seed=0):
    """Fields of a random model of `kind`; SMPL-X gets shape and expression in one array."""
    rng = np.random.default_rng(seed)
    tree = np.array(PARENTS[kind], np.int64)
    joints = len(tree)
    # Four joints a vertex, as in the official files.
    weights = np.zeros((vertices, joints))
    for row in weights:
        row[rng.choice(joints, 4, replace=False)] = rng.dirichlet(np.ones(4))
    regressor = np.where(rng.random((joints, vertices)) < 0.05, rng.random((joints, vertices)), 0)
    regressor[:, 0] += 1e-3
    regressor /= regressor.sum(1, keepdims=True)
    model = {
        "v_template": rng.normal(0, 0.4, (vertices, 3)),
        "shapedirs": rng.normal(0, 0.02, (vertices, 3, directions)),
        "posedirs": rng.normal(0, 0.01, (vertices, 3, 9 * (joints - 1))),
        "J_regressor": regressor,
        "weights": weights,
        "kintree_table": np.stack([tree.astype(np.uint32), np.arange(joints, dtype=np.uint32)]),
        "f": rng.integers(0, vertices, (500, 3)).astype(np.uint32),
    }
    if kind != "smpl":
        for side in "lr":
            model[f"hands_components{side}"] = np.linalg.qr(rng.normal(size=(45, 45)))[0]
            model[f"hands_mean{side}"] = rng.normal(0, 0.2, 45)
    if kind == "smplx":
        faces = rng.integers(0, 500, 51)
        model["lmk_faces_idx"] = faces
        model["lmk_bary_coords"] = rng.dirichlet(np.ones(3), 51)
        model["dynamic_lmk_faces_idx"] = rng.integers(0, 500, (79, 17))
        model["dynamic_lmk_bary_coords"] = rng.dirichlet(np.ones(3), (79, 17))
        model["vt"] = rng.random((400, 2))
        model["ft"] = rng.integers(0, 400, (500, 3))
    return model
