"""A sweep over lambda as one program: every device trains models of its own on the same batch.

    state   [R, ...]  split over devices      batch  whole on every device      lmbda [R]

Replica i is the run that `loss.lmbda = lmbdas[i]` would give on one device. Nothing but the terms
for the log is ever exchanged. The replicas of one device are unrolled: under vmap their kernels
become grouped convolutions, which are slow, and which a partitioner gathers on all devices.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from hvc_jax.ops.compile import compiler_options
from hvc_jax.training.step import Step

AXIS = "lmbda"


class Replicas:
    """Placement and compilation of replicas; stands in for `parallel.Parallel`."""

    local_batch_factor = 1  # all devices see the same batch

    def __init__(self, lmbdas: Sequence[float], devices: list[jax.Device] | None = None) -> None:
        """Takes all devices by default; ValueError: a weight twice, or several processes."""
        self.lmbdas = tuple(float(x) for x in lmbdas)
        if len(set(self.lmbdas)) != len(self.lmbdas):
            raise ValueError(f"loss.lmbdas={self.lmbdas}: one stands there twice")
        if jax.process_count() > 1:
            raise ValueError("loss.lmbdas needs one process; train them apart with hvc sweep")
        devices = list(devices or jax.devices())
        count = max(n for n in range(1, len(devices) + 1) if len(self.lmbdas) % n == 0)
        self.devices = devices[:count]
        mesh = jax.make_mesh((count,), (AXIS,), axis_types=(AxisType.Auto,), devices=self.devices)
        self._mesh = mesh
        self._split = NamedSharding(mesh, PartitionSpec(AXIS))
        self._whole = NamedSharding(mesh, PartitionSpec())

    def place_state(self, state: Any) -> Any:
        """Every replica begins with this state; arrays become [R, ...]."""
        count = len(self.lmbdas)
        return jax.tree.map(
            lambda x: jax.device_put(jnp.broadcast_to(x, (count, *x.shape)), self._split), state
        )

    def abstract(self, state: Any) -> Any:
        """Shapes, types and shardings of `place_state(state)`, as checkpoints restore to."""
        shape = (len(self.lmbdas),)
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(shape + x.shape, x.dtype, sharding=self._split), state
        )

    def place_batch(self, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
        """The batch, whole on every device."""
        return jax.device_put(batch, self._whole)

    def compile(self, step: Step, state: Any, batch: Any) -> Callable[[Any, Any], tuple[Any, Any]]:
        """The step of all replicas as one compiled program (state, batch) -> (state, terms [R]).

        It is made of the halves of the step of one model; the state is placed, calls donate it.
        """

        def on_device(states: Any, batch: Any, lmbdas: Any, inputs: Any) -> tuple[Any, Any]:
            results = []
            for i in range(len(self.lmbdas) // len(self.devices)):
                one = jax.tree.map(lambda x, i=i: x[i], states)
                own = inputs._replace(lmbda=lmbdas[i])
                results.append(step.update(one, *step.gradients(one, batch, 0, own)))
            return jax.tree.map(lambda *x: jnp.stack(x), *results)

        split = PartitionSpec(AXIS)
        every = jax.shard_map(
            on_device,
            mesh=self._mesh,
            in_specs=(split, PartitionSpec(), split, PartitionSpec()),
            out_specs=split,
            check_vma=False,
        )
        program = jax.jit(
            lambda s, b, i: every(s, b, jnp.asarray(self.lmbdas, jnp.float32), i),
            in_shardings=(self._split, self._whole, self._whole),
            out_shardings=(self._split, self._whole),
            donate_argnums=0,
        )
        inputs = jax.device_put(step.inputs, self._whole)
        lowered = program.lower(state, batch, inputs)
        compiled = lowered.compile(compiler_options=compiler_options())
        return lambda s, b: compiled(s, b, inputs)

    def members(self, tree: Any) -> Iterator[tuple[str, Any]]:
        """The replicas' parts of a tree of [R, ...] arrays, each with the ending of its names."""
        for i, lmbda in enumerate(self.lmbdas):
            yield f"/lmbda_{lmbda:g}", jax.tree.map(lambda x, i=i: x[i], tree)
