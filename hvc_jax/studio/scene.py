"""The body in the 3D view: its mesh with a colour for every part, and a joint to drag."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import viser

from hvc_jax.body.assets import Body, load_body
from hvc_jax.body.lbs import posed_vertices
from hvc_jax.body.params import JOINT_INDEX, unpack
from hvc_jax.body.shade import part_palette


@jax.jit
def _posed(body: Body, vector: jax.Array) -> tuple[jax.Array, jax.Array]:
    vertices, joints = posed_vertices(body, unpack(vector[None]))
    return vertices[0], joints[0]


class BodyScene:
    """A posed body in the scene of one browser."""

    def __init__(
        self, client: viser.ClientHandle, dragged: Callable[[np.ndarray, bool], None]
    ) -> None:
        """Puts the body there.

        `dragged`: is told where the handle is, [3] metres from the pelvis, and whether the drag has
        ended there.
        """
        self.body, self.joint = load_body(), ""  # which joint has a handle; "" for none
        self._client, self._dragged = client, dragged
        self._handle: viser.TransformControlsHandle | None = None
        self._holding = False
        self._meshes: list[tuple[viser.MeshHandle, np.ndarray]] = []
        client.scene.configure_default_lights(cast_shadow=False)
        # Without a graphics card the picture waits while the view is drawn: three times as long
        # with reflections of surroundings and the standard material (docs/studio.md).
        client.scene.configure_environment_map(None)
        faces, parts = np.asarray(self.body.faces), np.asarray(self.body.part_ids)
        palette = np.round(255 * part_palette(len(self.body.part_names))).astype(int)
        rest = np.asarray(self.body.v_template)
        of_face = parts[faces[:, 0]]
        for part, name in enumerate(self.body.part_names):
            # One mesh a part, because a mesh of the view has one colour.
            used, places = np.unique(faces[of_face == part], return_inverse=True)
            colour = tuple(int(c) for c in palette[part])
            mesh = client.scene.add_mesh_simple(
                f"/body/{name}",
                rest[used],
                places.reshape(-1, 3),
                color=colour,
                material="toon5",
                side="double",
                cast_shadow=False,
                receive_shadow=False,
            )
            self._meshes.append((mesh, used))

    def show(self, vector: np.ndarray) -> None:
        """Poses the body as a body vector [188] says."""
        vertices, joints = map(np.asarray, _posed(self.body, jnp.asarray(vector)))
        with self._client.atomic():
            for mesh, used in self._meshes:
                mesh.vertices = vertices[used]
            if self._handle is not None and not self._holding:
                self._handle.position = joints[JOINT_INDEX[self.joint]]

    def hold(self, joint: str) -> None:
        """Puts a handle at a joint, "" for none; it stands right after the next `show`."""
        if self._handle is not None:
            self._handle.remove()
        self.joint, self._handle, self._holding = joint, None, False
        if not joint:
            return
        self._handle = self._client.scene.add_transform_controls(
            "/joint", scale=0.25, disable_rotations=True, depth_test=False
        )

        @self._handle.on_update
        async def _(event: viser.TransformControlsEvent) -> None:
            self._holding = event.phase != "end"
            self._dragged(np.asarray(event.target.position, np.float64), not self._holding)
