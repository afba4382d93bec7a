"""Times the body layer against smplx on torch, and the rasteriser; writes results.csv.

    python experiments/bench_body/bench.py [--threads 1] [--only layer|raster] [--clock cpu]

On a busy machine use one thread and the processor's clock: it leaves out waiting for a core.

The layer runs on one random SMPL-sized model (6890 vertices, 24 joints, 10 betas, pose
correctives), both libraries in this process, alternating, float32. Medians of repeated runs.
"""

import argparse
import csv
import os
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


CLOCK = {"wall": time.perf_counter, "cpu": time.process_time}
clock = time.perf_counter


def median_ms(run, repeats: int, budget: float) -> float:
    """Returns the median time of `run`, milliseconds, after one warm-up, within `budget` s."""
    run()
    times = []
    until = clock() + budget
    while len(times) < repeats and (len(times) < 3 or clock() < until):
        start = clock()
        run()
        times.append(clock() - start)
    times.sort()
    return 1e3 * times[len(times) // 2]


def layer_rows(repeats: int, budget: float):
    """Yields (what, batch, ours ms, smplx ms or None)."""
    import sys
    import tempfile

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
        try:
            import smplx
            import torch

            ids = smplx.vertex_ids.vertex_ids["smplh"]
            struct = smplx.utils.Struct(**np.load(path))
            reference = smplx.SMPL(str(path), data_struct=struct, vertex_ids=ids, batch_size=1)
        except ImportError:
            reference = None

    def forward(betas, pose):
        rotations = rotation.axis_angle_to_matrix(pose.reshape(-1, 24, 3))
        return lbs.forward(body, betas, jnp.zeros((len(betas), 0)), rotations)[0]

    value = jax.jit(forward)
    gradient = jax.jit(jax.grad(lambda b, p: jnp.sum(forward(b, p) ** 2), argnums=(0, 1)))
    rng = np.random.default_rng(0)
    for batch in (1, 64, 512):
        betas = rng.normal(size=(batch, 10)).astype(np.float32)
        pose = rng.normal(0, 0.3, (batch, 72)).astype(np.float32)
        ours = [
            lambda b=betas, p=pose: jax.block_until_ready(value(b, p)),
            lambda b=betas, p=pose: jax.block_until_ready(gradient(b, p)),
        ]
        theirs = [None, None]
        if reference is not None:
            tb, tp = torch.tensor(betas), torch.tensor(pose)

            def infer(tb=tb, tp=tp):
                with torch.no_grad():
                    reference(betas=tb, body_pose=tp[:, 3:], global_orient=tp[:, :3])

            def backward(tb=tb, tp=tp):
                b, p = tb.clone().requires_grad_(), tp.clone().requires_grad_()
                out = reference(betas=b, body_pose=p[:, 3:], global_orient=p[:, :3])
                (out.vertices**2).sum().backward()

            theirs = [infer, backward]
        for name, mine, other in zip(("forward", "forward+backward"), ours, theirs, strict=True):
            reference_ms = None if other is None else median_ms(other, repeats, budget)
            yield f"layer {name}", batch, median_ms(mine, repeats, budget), reference_ms


def raster_rows(repeats: int, budget: float):
    """Yields (what, batch, ms, None) for the open body at three sizes."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from patches import patch_triangles

    from hvc_jax.body import assets, camera, lbs, params, poses, raster

    body = assets.load_body()
    names = list(poses.POSES)

    @jax.jit
    def screen(vectors):
        state = params.unpack(vectors)
        return camera.project(lbs.posed_vertices(body, state)[0], state.camera)

    for size in (64, 128, 256):
        for batch in (1, 4, 16):
            vectors = np.stack([poses.pose_vector(names[k % len(names)]) for k in range(batch)])
            key, target = screen(jnp.asarray(vectors)), screen(jnp.asarray(vectors[::-1].copy()))
            draw = jax.jit(lambda s, n=size: raster.rasterize(s, body.faces, n, n))
            field = jax.jit(lambda k, t, n=size: raster.motion_field(k, t, body.faces, n, n).grid)
            slope = jax.jit(
                jax.grad(
                    lambda k, t, n=size: jnp.sum(
                        raster.motion_field(k, t, body.faces, n, n).grid ** 2
                    ),
                    argnums=(0, 1),
                )
            )
            patches = jax.jit(lambda s, n=size: patch_triangles(s, body.faces, n, n, 8))
            for name, run in (
                ("coverage by 8x8 patches", lambda p=patches, k=key: p(k)),
                ("rasterize", lambda d=draw, k=key: d(k)),
                ("motion field", lambda f=field, k=key, t=target: f(k, t)),
                ("motion field+gradient", lambda s=slope, k=key, t=target: s(k, t)),
            ):
                ms = median_ms(lambda r=run: jax.block_until_ready(r()), repeats, budget)
                yield f"{name} {size}x{size}", batch, ms, None


def main() -> None:
    """Runs the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=("layer", "raster"))
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--budget", type=float, default=2.0, help="seconds per measurement")
    parser.add_argument("--out", type=Path, default=HERE / "results.csv")
    parser.add_argument("--clock", choices=tuple(CLOCK), default="wall")
    args = parser.parse_args()
    global clock
    clock = CLOCK[args.clock]
    # Before jax and torch start: the same number of cores for both.
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    rows = []
    for wanted, source in (("layer", layer_rows), ("raster", raster_rows)):
        if args.only not in (None, wanted):
            continue
        for what, batch, ours, other in source(args.repeats, args.budget):
            ratio = "" if other is None else f"{other / ours:.1f}"
            rows.append([what, batch, f"{ours:.2f}", f"{ours / batch:.2f}",
                         "" if other is None else f"{other:.2f}", ratio])  # fmt: skip
            print("  ".join(map(str, rows[-1])), flush=True)
    with args.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["what", "batch", "ms", "ms_per_frame", "smplx_ms", "smplx_over_ours"])
        writer.writerows(rows)


if __name__ == "__main__":
    main()
