"""Data-parallel training over all devices of all hosts, behind one class.

    Parallel("jit")    one program on global arrays with named sharding; parameters may be sharded
    Parallel("pmap")   the same per-device function under pmap

Both average the same per-device gradients and give the same numbers. With one device both are
plain jit.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from hvc_jax.ops.compile import compiler_options
from hvc_jax.training.step import Step

AXIS = "data"


class Parallel:
    """Placement of states and batches, and compilation of a step, on a set of devices.

    `kind`: "jit" or "pmap"; `devices`: all devices in use, of every process.
    """

    def __init__(
        self, kind: str, devices: list[jax.Device] | None = None, shard_parameters: bool = False
    ) -> None:
        """Args: kind; devices, default all; shard_parameters splits large arrays ("jit" only)."""
        if kind not in ("jit", "pmap"):
            raise ValueError(f"parallel={kind!r}; use 'jit' or 'pmap'")
        if kind == "pmap" and shard_parameters:
            raise ValueError("shard_parameters needs parallel='jit'; pmap keeps whole copies")
        self.kind = kind
        self.devices = list(devices or jax.devices())
        self._sharded = shard_parameters
        mesh = jax.make_mesh(
            (len(self.devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=self.devices
        )
        self._mesh = mesh
        self._whole = NamedSharding(mesh, PartitionSpec())
        self._split = NamedSharding(mesh, PartitionSpec(AXIS))

    @property
    def local_batch_factor(self) -> int:
        """Devices of this process: its batch is this many times the batch of a device."""
        return sum(d.process_index == jax.process_index() for d in self.devices)

    def sharding(self, array: Any) -> NamedSharding:
        """Where one array of the state lives: whole on every device, or split on its last axis
        that the device count divides, if parameters are sharded and it is not tiny.
        """
        count = len(self.devices)
        if self._sharded and array.size >= 1024 * count:
            for axis in reversed(range(array.ndim)):
                if array.shape[axis] % count == 0:
                    spec = [None] * array.ndim
                    spec[axis] = AXIS
                    return NamedSharding(self._mesh, PartitionSpec(*spec))
        return self._whole

    def place_state(self, state: Any) -> Any:
        """The state on the devices, ready for the compiled step."""
        return jax.tree.map(lambda x: jax.device_put(x, self.sharding(x)), state)

    def abstract(self, state: Any) -> Any:
        """Shapes, types and shardings of the placed state, as checkpoints restore to."""
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=self.sharding(x)), state
        )

    def place_batch(self, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
        """This process's examples, spread over its devices.

        `batch`: Arrays [devices of this process * batch of a device, ...].

        Returns global arrays with the batch first; under pmap [devices, batch of a device, ...].
        Raises ValueError: The devices do not divide the batch; says both numbers.
        """
        count = self.local_batch_factor

        def place(array: np.ndarray) -> jax.Array:
            if len(array) % count:
                raise ValueError(f"{count} devices cannot share a batch of {len(array)}")
            if self.kind == "pmap" and len(self.devices) > 1:
                array = array.reshape(count, -1, *array.shape[1:])
            return jax.make_array_from_process_local_data(self._split, array)

        return {name: place(np.asarray(array)) for name, array in batch.items()}

    def members(self, tree: Any) -> Iterator[tuple[str, Any]]:
        """The models in a tree, each with the ending of its names: here one, without any."""
        yield "", tree

    def compile(self, step: Step, state: Any, batch: Any) -> Callable[[Any, Any], tuple[Any, Any]]:
        """The step as one compiled program (state, batch) -> (state, terms), for these shapes.

        The state given to a call is donated. A batch of another shape or placement raises: there is
        nothing in it that could compile again. Of a placed `state`, only shapes and placement
        matter.
        """
        placement = jax.tree.map(self.sharding, state)
        inputs = jax.device_put(step.inputs, self._whole)

        def per_device(state: Any, batch: Any, inputs: Any) -> tuple[Any, Any]:
            grads, terms = step.gradients(state, batch, jax.lax.axis_index(AXIS), inputs)
            return jax.lax.pmean((grads, terms), AXIS)

        if len(self.devices) == 1:
            program = jax.jit(
                lambda s, b, i: step.update(s, *step.gradients(s, b, 0, i)),
                out_shardings=(placement, self._whole),
                donate_argnums=0,
            )
        elif self.kind == "pmap":
            program = jax.pmap(
                lambda s, b, i: step.update(s, *per_device(s, b, i)),
                axis_name=AXIS,
                in_axes=(None, 0, None),
                out_axes=(None, None),
                devices=self.devices,
                donate_argnums=0,
            )
        else:
            # With check_vma the gradient of a replicated input is already summed over devices
            # and the mean would be of that sum; without it, it is this device's own, as in pmap.
            averaged = jax.shard_map(
                per_device,
                mesh=self._mesh,
                in_specs=(PartitionSpec(), PartitionSpec(AXIS), PartitionSpec()),
                out_specs=PartitionSpec(),
                check_vma=False,
            )
            program = jax.jit(
                lambda s, b, i: step.update(s, *averaged(s, b, i)),
                in_shardings=(placement, self._split, self._whole),
                out_shardings=(placement, self._whole),
                donate_argnums=0,
            )
        options = compiler_options()
        compiled = program.lower(state, batch, inputs).compile(compiler_options=options)
        return lambda s, b: compiled(s, b, inputs)


def join(hosts: str) -> None:
    """Connects this process to the others of its run; must come before jax is used."""
    if hosts == "auto":
        jax.distributed.initialize()
        return
    address, *numbers = hosts.split(",")
    if len(numbers) != 2 or not all(n.isdigit() for n in numbers) or ":" not in address:
        raise ValueError(f"--hosts {hosts}: write auto, or ADDRESS:PORT,COUNT,NUMBER")
    jax.distributed.initialize(address, int(numbers[0]), int(numbers[1]))
