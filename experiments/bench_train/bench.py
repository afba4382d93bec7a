"""Training steps a second, where their time goes, and the same layers in PyTorch.

    python experiments/bench_train/bench.py --data DATASET [--torch-python VENV/bin/python]

Writes steps.csv (a step and its parts by variant and size), data.csv (training pairs a second) and,
with a Python that has torch, torch.csv: the encoder and the generator alone, which are plain
stacks of layers, trained by turns in JAX and in torch. Medians over rounds.
"""

import argparse
import csv
import functools
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import FrozenConfigDict

from hvc_jax.data.pipeline import batches
from hvc_jax.models.codec_model import CodecModel
from hvc_jax.models.count import multiply_accumulates
from hvc_jax.models.generator import Generator
from hvc_jax.models.reference import ReferenceEncoder
from hvc_jax.ops.compile import compiler_options, fast_jit
from hvc_jax.training.config import load_config
from hvc_jax.training.losses import rate_distortion
from hvc_jax.training.parallel import Parallel
from hvc_jax.training.precision import layers_in, to_float32
from hvc_jax.training.state import create_state
from hvc_jax.training.step import make_step, unit_range

HERE = Path(__file__).parent
PAST = 4  # `model.past` of the configurations


def random_batch(count: int, side: int) -> dict[str, np.ndarray]:
    """A training batch of noise, with people in front of the camera."""
    rng = np.random.default_rng(0)
    batch: dict[str, np.ndarray] = {}
    for name in ("key", "target", "previous"):
        batch[name] = rng.integers(0, 256, (count, side, side, 3), np.uint8)
        body = rng.normal(0, 0.1, (count, 188)).astype(np.float32)
        body[:, 185:] = 0.9, 0, 0
        batch[f"{name}_body"] = body
    for name in ("previous", "previous_body"):
        batch[name] = np.repeat(batch[name][:, None], PAST, 1)
    return batch


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def seconds(call: Callable[[], Any], arguments: argparse.Namespace) -> float:
    """Median time of a call, after one that is not counted."""
    jax.block_until_ready(call())
    clock, times = CLOCKS[arguments.clock], []
    for _ in range(arguments.rounds):
        begin = clock()
        jax.block_until_ready(call())
        times.append(clock() - begin)
    return statistics.median(times)


def step_row(arguments: argparse.Namespace, variant: str, size: str) -> dict[str, Any]:
    """The parts of a step of one model."""
    config = load_config(f"{variant}.py:size={size},res={arguments.side}")
    with config.unlocked():
        config.batch_size, config.dtype = arguments.batch, arguments.dtype
    model = CodecModel(FrozenConfigDict(config.model))
    batch = random_batch(arguments.batch, arguments.side)
    step = make_step(config, model, None)
    parallel = Parallel("jit", jax.devices()[:1])
    placed = parallel.place_batch(batch)
    state = parallel.place_state(create_state(config, model, batch))

    def loss(params: Any, batch: Any) -> jax.Array:
        batch = unit_range(batch)
        with layers_in(config.dtype):
            rngs = {"noise": jax.random.key(0)}
            outputs = model.apply({"params": params}, batch, train=True, rngs=rngs)
        outputs = to_float32(outputs)
        rate, distortion, _ = rate_distortion(config.loss, outputs, batch["target"], None)
        return rate + config.loss.lmbda * distortion

    forward, update = fast_jit(loss), fast_jit(step.update)
    shapes = jax.eval_shape(lambda state, batch: step.gradients(state, batch, 0), state, placed)
    grads, terms = jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), shapes)
    macs = sum(multiply_accumulates(jax.grad(loss), state.params, batch).values())
    count = sum(x.size for x in jax.tree.leaves(state.params))
    ahead = seconds(lambda: forward(state.params, placed), arguments)
    updating = seconds(lambda: update(state, grads, terms), arguments)
    run = parallel.compile(step, state, placed)
    carried = state

    def whole() -> Any:
        nonlocal carried
        carried, terms = run(carried, placed)
        return terms

    total = seconds(whole, arguments)
    row = {
        "variant": variant,
        "size": size,
        "side": arguments.side,
        "batch": arguments.batch,
        "dtype": arguments.dtype,
        "clock": arguments.clock,
        "parameters_m": count / 1e6,
        "gmac": macs / 1e9,
        "forward_ms": 1e3 * ahead,
        "backward_ms": 1e3 * (total - ahead - updating),
        "update_ms": 1e3 * updating,
        "step_ms": 1e3 * total,
        "steps_per_s": 1 / total,
        "pairs_per_s": arguments.batch / total,
        "gflops": 2 * macs / 1e9 / total,
    }
    if arguments.peak_tflops:
        row["utilisation"] = row["gflops"] / 1e3 / arguments.peak_tflops
    return row


def step_rows(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The parts of a step for every variant and size."""
    for size in arguments.sizes:
        for variant in ("semantic", "implicit"):
            yield step_row(arguments, variant, size)


def data_rows(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Training pairs a second by the number of reading threads and processes.

    Raises:
        SystemExit: Two of them do not read the same batches.
    """
    clock = {"wall": time.perf_counter, "cpu": family_seconds}[arguments.clock]
    first: list[dict[str, np.ndarray]] = []
    for threads, workers in ((1, 0), (2, 0), (1, 1), (1, 2)):
        config = dict(path=str(arguments.data), size=arguments.side, crop=0.85, jitter=0.2)
        source = batches(config | dict(threads=threads, workers=workers), arguments.batch)
        begun = [next(source) for _ in range(4)]
        first = first or begun
        for one, other in zip(first, begun, strict=True):
            if not all(np.array_equal(one[name], other[name]) for name in one):
                raise SystemExit(f"{threads} threads, {workers} workers: other batches")
        begin, end, count = clock(), time.perf_counter() + arguments.data_seconds, 0
        while time.perf_counter() < end:
            next(source)
            count += arguments.batch
        yield {
            "threads": threads,
            "workers": workers,
            "side": arguments.side,
            "clock": arguments.clock,
            "pairs_per_s": count / (clock() - begin),
        }


def family_seconds() -> float:
    """Processor time of this process and of its children that live, seconds (Linux)."""
    pids = " ".join(p.read_text() for p in Path("/proc/self/task").glob("*/children")).split()
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    ticks = sum(int(stat[11]) + int(stat[12]) for stat in fields)
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


class Stack(nn.Module):
    """Encoder and generator without motion between them."""

    widths: tuple[int, int, int]
    blocks: int

    @nn.compact
    def __call__(self, picture: jax.Array) -> jax.Array:
        """The picture [B, H, W, 3], coded and painted again."""
        pyramid = ReferenceEncoder(self.widths, self.blocks)(picture)
        return Generator(self.widths, self.blocks)(pyramid)[0]


def compiled_stack(stack: Stack, adam: Any, params: Any, picture: np.ndarray) -> Any:
    """A step (parameters, optimiser state, picture) -> the next parameters and state."""

    def train(params: Any, state: Any, picture: jax.Array) -> tuple[Any, Any]:
        def loss(params: Any) -> jax.Array:
            return jnp.abs(stack.apply(params, picture) - picture).mean()

        changes, state = adam.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, changes), state

    lowered = jax.jit(train, donate_argnums=(0, 1)).lower(params, adam.init(params), picture)
    return lowered.compile(compiler_options=compiler_options())


def torch_rows(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The stack by turns in JAX and in torch, in one run."""
    for size in arguments.sizes:
        config = load_config(f"semantic.py:size={size}").model
        stack = Stack(tuple(config.widths), config.blocks)
        rng = np.random.default_rng(0)
        picture = rng.random((arguments.batch, arguments.side, arguments.side, 3), np.float32)
        shapes = jax.eval_shape(stack.init, jax.random.key(0), picture)
        draw = functools.partial(rng.normal, 0, 0.05)
        params = jax.tree.map(lambda x, draw=draw: draw(x.shape).astype(np.float32), shapes)
        adam = optax.adam(1e-4)
        program = compiled_stack(stack, adam, params, picture)
        count = sum(x.size for x in jax.tree.leaves(params))
        words = [str(arguments.torch_python), str(HERE / "torch_stack.py")]
        words += [*map(str, config.widths), str(config.blocks)]
        words += [str(arguments.batch), str(arguments.side), arguments.clock]
        twin = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        twin_count = int(twin.stdout.readline())
        if twin_count != count:
            raise SystemExit(f"torch has {twin_count} parameters, JAX {count}: not the same layers")
        carried = jax.device_put((params, adam.init(params)))
        times: dict[str, list[float]] = {"jax": [], "torch": []}
        clock = CLOCKS[arguments.clock]
        for turn in range(arguments.rounds + 1):
            begin = clock()
            carried = jax.block_until_ready(program(*carried, picture))
            if turn:
                times["jax"].append(clock() - begin)
            twin.stdin.write("go\n")
            twin.stdin.flush()
            theirs = float(twin.stdout.readline())
            if turn:
                times["torch"].append(theirs)
        twin.stdin.close()
        twin.wait()
        ours, theirs = (statistics.median(values) for values in times.values())
        yield {
            "size": size,
            "side": arguments.side,
            "batch": arguments.batch,
            "clock": arguments.clock,
            "parameters_m": count / 1e6,
            "jax_ms": 1e3 * ours,
            "torch_ms": 1e3 * theirs,
            "torch_over_jax": theirs / ours,
        }


def write(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    """Writes rows as they come, and prints them."""
    with path.open("w", newline="") as file:
        writer = None
        for row in rows:
            row = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()}
            if writer is None:
                writer = csv.DictWriter(file, list(row), lineterminator="\n")
                writer.writeheader()
            writer.writerow(row)
            file.flush()
            print("  ".join(f"{k} {v}" for k, v in row.items()), flush=True)


def main() -> None:
    """Measures and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--parts", nargs="+", choices=("torch", "steps", "data"), default=["torch", "steps", "data"]
    )
    parser.add_argument("--data", type=Path, help="a built data set, for the readers")
    parser.add_argument("--torch-python", type=Path, help="a Python that has torch")
    parser.add_argument("--sizes", nargs="+", default=["tiny", "base"])
    parser.add_argument("--side", type=int, default=128, help="of the pictures, pixels")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", default="float32", help="or bfloat16")
    parser.add_argument(
        "--clock",
        choices=list(CLOCKS),
        default="wall",
        help="cpu: of all threads, on a busy machine",
    )
    parser.add_argument("--data-seconds", type=float, default=8.0)
    parser.add_argument("--peak-tflops", type=float, help="of the device, for its utilisation")
    parser.add_argument("--output", type=Path, default=HERE)
    arguments = parser.parse_args()
    if arguments.torch_python and "torch" in arguments.parts:
        write(arguments.output / "torch.csv", torch_rows(arguments))
    if "steps" in arguments.parts:
        write(arguments.output / "steps.csv", step_rows(arguments))
    if arguments.data and "data" in arguments.parts:
        write(arguments.output / "data.csv", data_rows(arguments))


if __name__ == "__main__":
    main()
