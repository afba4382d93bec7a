"""`hvc fit`: the body of every frame of a clip, found from its pixels."""

import argparse
from pathlib import Path

_EXAMPLE = """\
examples:
  hvc fit clip.mp4 bodies.npy --overlay overlay.mp4 --sheet overlay.png
  hvc encode clip.mp4 clip.hvc --body-params bodies.npy

bodies.npy holds the body vectors [frames, 188]. With the ending .npz the file also holds the
confidence of every frame. Look at the overlay: where the mesh leaves the person, the code will too.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the parser of this command."""
    parser = subparsers.add_parser(
        "fit",
        help="estimate the body parameters of a clip",
        description="Finds the body parameters of a clip of one person.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", type=Path, help="any video file")
    parser.add_argument("output", type=Path, help="bodies, .npy or .npz")
    parser.add_argument("--size", type=int, default=256, help="side in pixels (default: 256)")
    parser.add_argument(
        "--fit", choices=("crop", "pad"), default="crop", help="how to make it square; as in encode"
    )
    parser.add_argument("--frames", type=int, help="at most so many frames")
    parser.add_argument(
        "--effort", type=int, choices=range(4), default=1, help="0: network only (default: 1)"
    )
    parser.add_argument("--overlay", type=Path, help="also write a video with the mesh drawn on it")
    parser.add_argument("--sheet", type=Path, help="also write a picture of twelve overlaid frames")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fits, writes what was asked for and prints one line; exit status 0."""
    import numpy as np

    from hvc_jax.commands.output import check_output
    from hvc_jax.data.clips import atomic_path, read_clip, write_png, write_video
    from hvc_jax.models.body_estimator import estimate_bodies
    from hvc_jax.models.body_overlay import overlay
    from hvc_jax.ops.compile import keep_compiled_programs

    if arguments.output.suffix not in (".npy", ".npz"):
        raise ValueError(f"{arguments.output}: bodies are written as .npy or .npz; rename it")
    for path in (arguments.output, arguments.overlay, arguments.sheet):
        if path is not None:
            check_output(path, inputs=(arguments.input,))
    keep_compiled_programs()
    clip = read_clip(arguments.input, arguments.size, arguments.fit, frames=arguments.frames)
    bodies, confidence = estimate_bodies(clip.frames, arguments.effort)

    with atomic_path(arguments.output) as temporary, open(temporary, "wb") as file:
        if arguments.output.suffix == ".npz":
            np.savez(file, bodies=bodies, confidence=confidence)
        else:
            np.save(file, bodies)
    if arguments.overlay is not None:
        write_video(arguments.overlay, overlay(clip.frames, bodies), clip.fps)
    if arguments.sheet is not None:
        pick = np.linspace(0, len(bodies) - 1, 12).round().astype(int)
        drawn = np.stack(list(overlay(clip.frames[pick], bodies[pick])))
        side = drawn.shape[1]
        grid = drawn.reshape(3, 4, side, side, 3).swapaxes(1, 2).reshape(3 * side, 4 * side, 3)
        write_png(arguments.sheet, grid)
    low = int((confidence < 0.3).sum())
    note = f"; {low} frames are doubtful: look at an --overlay" if low else ""
    print(f"{arguments.output}: {len(bodies)} frames, confidence {confidence.mean():.2f}{note}")
    return 0
