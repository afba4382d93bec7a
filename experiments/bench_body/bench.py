"""Times the body layer against smplx on torch, and the rasteriser; writes results.csv.

    python experiments/bench_body/bench.py [--clock cpu] [--threads 1] [--only layer|raster]

On a busy machine use one thread and the processor's clock: it leaves out waiting for a core. On a
GPU or TPU (whatever jax starts on) use the wall clock and `--only raster --batches 1,32`.

The layer runs on a random model of SMPL's size in the official format (6890 vertices, 24 joints,
10 betas, pose correctives), both libraries in this process, in turns, float32. The rasteriser
draws the open body with as many of its triangles twice as make SMPL's 13,776. Medians of repeated
runs; memory is what the compiled program takes besides its inputs, results included.
"""

import argparse
import csv
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLOCK = {"wall": time.perf_counter, "cpu": time.process_time}
SMPL_TRIANGLES = 13_776
COLUMNS = ("what", "batch", "ms", "ms_per_frame", "smplx_ms", "smplx_over_ours", "memory_mb")


def medians_ms(runs: list[Callable], calls: int, args: argparse.Namespace) -> list[float]:
    """Returns the median milliseconds a call of each of `runs`, taken in turns.

    Args:
      runs: what to time; each is called once before.
      calls: calls in a row that make one sample, so that short ones find warm caches.
      args: clock, number of samples, and the seconds after which fewer samples do.
    """
    clock = CLOCK[args.clock]
    for run in runs:
        run()
    samples = [[] for _ in runs]
    until = time.perf_counter() + args.budget
    while len(samples[0]) < args.repeats:
        if len(samples[0]) >= 5 and time.perf_counter() > until:
            break
        for run, times in zip(runs, samples, strict=True):
            start = clock()
            for _ in range(calls):
                run()
            times.append(1e3 * (clock() - start) / calls)
    return [sorted(times)[len(times) // 2] for times in samples]


def compiled(function: Callable, *values) -> tuple[Callable, float]:
    """Returns a call of the compiled `function` on `values`, and the megabytes it needs."""
    import jax

    program = jax.jit(function).lower(*values).compile()
    memory = program.memory_analysis()
    size = memory.temp_size_in_bytes + memory.output_size_in_bytes if memory else float("nan")
    return lambda: jax.block_until_ready(program(*values)), size / 1e6


def layer_rows(args: argparse.Namespace) -> Iterator[tuple]:
    """Yields (what, batch, our ms, smplx ms or None, our megabytes)."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    sys.path.insert(0, str(HERE.parents[1] / "tests"))
    from body_files import random_model

    from hvc_jax.body import assets, lbs
    from hvc_jax.ops import rotation

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "smpl.npz"
        np.savez(path, **random_model("smpl", vertices=6890, directions=10))
        body = assets.load_body(str(path))
        reference = smplx_model(path, args.threads)

    def forward(betas, pose, body):
        rotations = rotation.axis_angle_to_matrix(pose.reshape(-1, 24, 3))
        return lbs.forward(body, betas, jnp.zeros((1, 0)), rotations)

    slope = jax.grad(lambda *values: jnp.sum(forward(*values)[0] ** 2), argnums=(0, 1))
    rng = np.random.default_rng(0)
    for batch in (1, 64, 512):
        betas = rng.normal(size=(batch, 10)).astype(np.float32)
        pose = rng.normal(0, 0.3, (batch, 72)).astype(np.float32)
        for k, (name, function) in enumerate((("forward", forward), ("forward+backward", slope))):
            run, memory = compiled(function, betas, pose, body)
            runs = [run]
            if reference is not None:
                runs.append(torch_calls(reference, betas, pose)[k])
            times = medians_ms(runs, 10 if batch == 1 else 1, args)
            yield f"layer {name}", batch, times[0], (times[1:] or [None])[0], memory


def smplx_model(path: Path, threads: int):
    """Returns the smplx module of a SMPL file, None where smplx or torch is not installed."""
    try:
        import smplx
        import torch
    except ImportError:
        return None
    import numpy as np

    torch.set_num_threads(threads)
    ids = smplx.vertex_ids.vertex_ids["smplh"]
    struct = smplx.utils.Struct(**np.load(path))
    return smplx.SMPL(str(path), data_struct=struct, vertex_ids=ids, batch_size=1)


def torch_calls(reference, betas, pose) -> tuple[Callable, Callable]:
    """Returns the calls of smplx that do the same: forward, forward+backward."""
    import torch

    tb, tp = torch.tensor(betas), torch.tensor(pose)

    def infer():
        with torch.no_grad():
            reference(betas=tb, body_pose=tp[:, 3:], global_orient=tp[:, :3])

    def backward():
        b, p = tb.clone().requires_grad_(), tp.clone().requires_grad_()
        out = reference(betas=b, body_pose=p[:, 3:], global_orient=p[:, :3])
        (out.vertices**2).sum().backward()

    return infer, backward


def raster_rows(args: argparse.Namespace) -> Iterator[tuple]:
    """Yields (what, batch, ms, None, megabytes) at each size."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from patches import patch_triangles

    from hvc_jax.body import assets, camera, lbs, params, poses, raster

    body = assets.load_body()
    faces = jnp.concatenate([body.faces, body.faces[: SMPL_TRIANGLES - len(body.faces)]])
    names = list(poses.POSES)

    @jax.jit
    def project(vectors):
        state = params.unpack(vectors)
        return camera.project(lbs.posed_vertices(body, state)[0], state.camera)

    for size in args.sizes:
        tables = {
            "rasterize": lambda key, _, n=size: raster.rasterize(key, faces, n, n),
            "motion field": lambda k, t, n=size: raster.motion_field(k, t, faces, n, n)[:3],
            "motion field+gradient": jax.grad(
                lambda k, t, n=size: jnp.sum(raster.motion_field(k, t, faces, n, n).grid ** 2),
                argnums=(0, 1),
            ),
            "coverage by 8x8 patches": lambda key, _, n=size: patch_triangles(key, faces, n, n, 8),
        }
        for batch in args.batches:
            vectors = np.stack([poses.pose_vector(names[k % len(names)]) for k in range(batch)])
            # Each pose after the next one, so that every pair moves.
            key, target = project(vectors), project(np.roll(vectors, 1, 0) if batch > 1 else
                                                    poses.pose_vector("walking")[None])  # fmt: skip
            for name, function in tables.items():
                run, memory = compiled(function, key, target)
                (ms,) = medians_ms([run], 1, args)
                yield f"{name} {size}x{size}", batch, ms, None, memory


def numbers(text: str) -> list[int]:
    """Returns the integers of "1,4,16"."""
    return [int(part) for part in text.split(",")]


def main() -> None:
    """Runs the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=("layer", "raster"))
    parser.add_argument("--sizes", type=numbers, default=[64, 128, 256])
    parser.add_argument("--batches", type=numbers, default=[1, 4, 16], help="of the rasteriser")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--budget", type=float, default=2.0, help="seconds per measurement")
    parser.add_argument("--out", type=Path, default=HERE / "results.csv")
    parser.add_argument("--clock", choices=tuple(CLOCK), default="wall")
    args = parser.parse_args()
    # Before jax and torch start: the same number of cores for both.
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    rows = []
    for wanted, source in (("layer", layer_rows), ("raster", raster_rows)):
        if args.only not in (None, wanted):
            continue
        for what, batch, ours, other, memory in source(args):
            theirs = ("", "") if other is None else (f"{other:.2f}", f"{other / ours:.1f}")
            rows.append([what, batch, f"{ours:.2f}", f"{ours / batch:.3f}", *theirs,
                         f"{memory:.1f}"])  # fmt: skip
            print("  ".join(map(str, rows[-1])), flush=True)
    with args.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows)


if __name__ == "__main__":
    main()
