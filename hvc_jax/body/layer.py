"""The body model as one callable: parameters in, vertices and joints out."""

import os

import jax
import jax.numpy as jnp

from hvc_jax.body.assets import Body, load_body
from hvc_jax.body.lbs import forward
from hvc_jax.ops import rotation


@jax.tree_util.register_pytree_node_class
class BodyLayer:
    """A body model of the SMPL family, a pytree: it may go through jit, vmap and grad."""

    def __init__(self, body: Body) -> None:
        self.body = body

    def __call__(
        self,
        betas: jax.Array | None = None,
        expression: jax.Array | None = None,
        global_orient: jax.Array | None = None,
        body_pose: jax.Array | None = None,
        transl: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Vertices [*, V, 3] and joints [*, J, 3] in metres.

        Leading dimensions broadcast; what is not given is zero.

        Args:
          betas: [*, S] shape coefficients, S at most what the model has.
          expression: [*, E] expression coefficients.
          global_orient: [*, 3] axis-angle of the root, radians.
          body_pose: [*, N, 3] or [*, 3 N] axis-angle of the next N joints relative to their
            parents, N at most J - 1; 21 are a body without hands and face.
          transl: [*, 3] added to everything, metres.

        Raises ValueError: More coefficients or joints than the model has.
        """
        zeros = jnp.zeros(0)
        root = jnp.zeros(3) if global_orient is None else jnp.asarray(global_orient)
        pose = jnp.zeros((0, 3)) if body_pose is None else jnp.asarray(body_pose)
        if pose.shape[-1] != 3 or pose.ndim < 2:
            pose = pose.reshape(*pose.shape[:-1], -1, 3)
        missing = self.body.num_joints - 1 - pose.shape[-2]
        if missing < 0:
            raise ValueError(
                f"{self.body.name} has {self.body.num_joints - 1} joints below the root, "
                f"got {pose.shape[-2]}"
            )
        lead = jnp.broadcast_shapes(root.shape[:-1], pose.shape[:-2])
        parts = (
            jnp.broadcast_to(root[..., None, :], (*lead, 1, 3)),
            jnp.broadcast_to(pose, (*lead, *pose.shape[-2:])),
            jnp.zeros((*lead, missing, 3)),
        )
        return forward(
            self.body,
            zeros if betas is None else jnp.asarray(betas),
            zeros if expression is None else jnp.asarray(expression),
            rotation.axis_angle_to_matrix(jnp.concatenate(parts, -2)),
            transl,
        )

    def tree_flatten(self) -> tuple[tuple[Body], None]:
        """Children and static data, for jax."""
        return (self.body,), None

    @classmethod
    def tree_unflatten(cls, _: None, children: tuple[Body]) -> "BodyLayer":
        """The layer of its children, for jax."""
        return cls(children[0])


def load(path: str | os.PathLike[str] | None = None) -> BodyLayer:
    """A body model of SMPL's family from a file, None for the open body; BodyFileError."""
    return BodyLayer(load_body(None if path is None else os.fspath(path)))
