"""`hvc fit`: the body of every frame of a clip, found from its pixels."""

import argparse
import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hvc_jax.body.parameter_cameras import View
from hvc_jax.cli.options import keep_programs

if TYPE_CHECKING:
    import numpy as np

    from hvc_jax.data.clips import Clip, ClipInfo
    from hvc_jax.pose.estimator import Estimate

DESCRIPTION = "Finds the body parameters of a clip of one person."
EXAMPLES = """\
examples:
  hvc fit clip.mp4 bodies.npy --overlay overlay.mp4 --sheet overlay.png
  hvc encode clip.mp4 clip.hvc --body-params bodies.npy

  hvc fit clip.mp4 bodies.npz --keypoints openpose_json/
  hvc fit clip.mp4 bodies.npz --body-params smplx.npz --overlay overlay.mp4

  hvc fit clip.mp4 --out bodies.npz motion.bvh landmarks.json

By its ending a file holds
  .npy   body vectors [frames, 188]
  .npz   those, the confidence of every frame [frames] and joint [frames, 22], and the pose with the
         names and axes of SMPL-X: global_orient, body_pose, jaw_pose, left_hand_pose, ..., pred_cam
  .bvh   motion capture of 55 joints, centimetres
  .json  landmarks of the person as MediaPipe lists them: 33 in the picture, 33 in metres

--keypoints takes what OpenPose (a folder with one .json a frame), COCO, AlphaPose, MMPose, Sapiens,
ViTPose, Ultralytics and MediaPipe write: .json with 17, 18, 25, 26, 33, 133, 136 or 308 points a
person, .csv (x, y, z, visibility of 33 points a row, or named columns), .npy, or .npz with
`keypoints`, [frames, points, numbers]. Points are those of the whole picture of the clip. Rows that
name their frame belong to it; others count from the first frame on.
--body-params takes SMPL, SMPL-H or SMPL-X parameters as AMASS and estimators write them (ROMP,
VIBE, PARE, WHAM, TRAM, GVHMR, CLIFF, 4D-Humans, PHALP, SMPLer-X, PIXIE; .npz, .npy, .pkl, .pt,
.json, or a folder with one file a frame) and motion capture (.bvh); they are converted, not fitted,
so that the overlay shows whether their camera was understood. hvc body info FILE says what a file
is taken for.
"""

_ENDINGS = (".npy", ".npz", ".bvh", ".json")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    add = parser.add_argument
    add("input", type=Path, help="any video file")
    add("output", type=Path, nargs="?", help="bodies: .npy, .npz, .bvh or .json, see below")
    add("--out", type=Path, nargs="+", default=[], metavar="FILE", help="more files to write")
    add("--size", type=int, default=256, help="side in pixels (default: 256)")
    add(
        "--fit", choices=("crop", "pad"), default="crop", help="how to make it square; as in encode"
    )
    add("--frames", type=int, help="at most so many frames")
    add("--effort", type=int, choices=range(4), default=1, help="of the fit to pixels (default: 1)")
    add("--overlay", type=Path, help="also write a video with the mesh drawn on it")
    add("--sheet", type=Path, help="also write a picture of twelve overlaid frames")
    known = parser.add_mutually_exclusive_group()
    known.add_argument("--keypoints", type=Path, help="2D keypoints to fit to, see below")
    known.add_argument("--body-params", type=Path, help="parameters to take as they are")
    add(
        "--person", type=int, metavar="N",
        help="which of several people: in a file its track number, or place; in the clip 1 is the "
        "largest (default: the main one)",
    )  # fmt: skip
    add(
        "--body", type=Path, metavar="FILE",
        help="the SMPL, SMPL-H or SMPL-X model that --body-params are of, for its exact pelvis and "
        "the mean pose of its hands",
    )  # fmt: skip
    add(
        "--nets", type=Path, metavar="FOLDER", help="landmark networks instead of those that come "
        "with the program, converted with third_party/landmarks/convert.py",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Fits, writes what was asked for and prints one line; exit status 0."""
    import numpy as np

    from hvc_jax.data.clips import probe, read_clip, write_png, write_video
    from hvc_jax.data.video_output import VIDEO_SUFFIXES
    from hvc_jax.ops.files import check_output
    from hvc_jax.pose.confidence import DOUBT
    from hvc_jax.pose.overlay import overlay

    outputs = [*([arguments.output] if arguments.output else []), *arguments.out]
    if not outputs:
        raise ValueError(f"{arguments.input}: where to? give a file, as bodies.npz")
    if len(set(outputs)) < len(outputs):
        raise ValueError(f"{arguments.input}: two outputs have one name; choose another")
    given = (arguments.input, arguments.keypoints, arguments.body_params)
    inputs = [path for path in (*given, arguments.body) if path is not None]
    wanted = [(path, _ENDINGS) for path in outputs]
    wanted += [(arguments.overlay, VIDEO_SUFFIXES), (arguments.sheet, (".png",))]
    for path, suffixes in wanted:
        if path is not None:
            check_output(path, inputs=inputs, suffixes=suffixes)
    keep_programs()
    clip = read_clip(arguments.input, arguments.size, arguments.fit, frames=arguments.frames)
    info = probe(arguments.input)
    found = _bodies(arguments, clip.frames, info)
    bodies, confidence = found.bodies, found.confidence
    for path in outputs:
        if path.suffix == ".json":
            _write_landmarks(path, arguments, clip, View(info.width, info.height, arguments.fit))
        else:
            _write_bodies(path, found, float(clip.fps))
    if arguments.overlay is not None:
        write_video(arguments.overlay, overlay(clip.frames, bodies), clip.fps)
    if arguments.sheet is not None:
        pick = np.linspace(0, len(bodies) - 1, 12).round().astype(int)
        drawn = np.stack(list(overlay(clip.frames[pick], bodies[pick])))
        side = drawn.shape[1]
        grid = drawn.reshape(3, 4, side, side, 3).swapaxes(1, 2).reshape(3 * side, 4 * side, 3)
        write_png(arguments.sheet, grid)
    low = int((confidence < DOUBT).sum())
    note = f"; {low} frames are doubtful: look at an --overlay" if low else ""
    if low == len(bodies):
        note = "; no person is seen whose body can be followed: the bodies stand still"
    more = int((found.people > 1).sum())
    if more and arguments.person is None:
        note += f"; {more} frames show several people, the largest is followed: see --person"
    named = ", ".join(map(str, outputs))
    print(f"{named}: {len(bodies)} frames, confidence {confidence.mean():.2f}{note}")
    return 0


def _write_bodies(path: Path, found: "Estimate", fps: float) -> None:
    """Writes bodies in the format of the file's ending."""
    import numpy as np

    from hvc_jax.body.assets import load_body
    from hvc_jax.body.bvh_write import write_bvh
    from hvc_jax.body.parameter_write import smplx_fields
    from hvc_jax.ops.files import atomic_path

    if path.suffix == ".bvh":
        write_bvh(path, found.bodies, np.asarray(load_body().J_template), fps)
        return
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        if path.suffix == ".npy":
            np.save(file, found.bodies)
        else:
            np.savez(file, **found._asdict(), **smplx_fields(found.bodies, fps))


def _write_landmarks(path: Path, given: argparse.Namespace, clip: "Clip", view: View) -> None:
    """Writes the landmarks of a person, scene by scene."""
    from hvc_jax.data.cuts import CutDetector, scene_starts
    from hvc_jax.ops.files import write_text
    from hvc_jax.pose.landmark_json import landmarks_json
    from hvc_jax.pose.sight import see

    bounds = [0, *scene_starts(clip.frames, CutDetector()), len(clip.frames)]
    seen = [(a, see(clip.frames[a:b], *_who(given))) for a, b in itertools.pairwise(bounds)]
    write_text(path, landmarks_json(seen, view, float(clip.fps)))


def _who(given: argparse.Namespace) -> tuple[int, str | None]:
    """Which person is followed, and where the networks lie."""
    return given.person or 1, None if given.nets is None else str(given.nets)


def _bodies(arguments: argparse.Namespace, frames: "np.ndarray", clip: "ClipInfo") -> "Estimate":
    """The bodies of the frames: from a file, or estimated with or without given keypoints."""
    import numpy as np

    from hvc_jax.data.cuts import CutDetector, scene_starts
    from hvc_jax.ops.progress import Progress
    from hvc_jax.pose.estimator import Estimate, estimate

    count, view = len(frames), View(clip.width, clip.height, arguments.fit)
    if arguments.body_params is not None:
        from hvc_jax.body.assets import load_body
        from hvc_jax.body.parameter_files import load_parameters

        found = load_parameters(
            arguments.body_params, view=view, frames=max(clip.frames, count),
            fps=float(clip.fps), person=arguments.person,
            body=None if arguments.body is None else load_body(str(arguments.body)),
        )  # fmt: skip
        print(*found.notes, sep="\n", end="\n" * bool(found.notes), file=sys.stderr)
        if len(found.bodies) < count:
            raise ValueError(
                f"{arguments.body_params} has bodies of {len(found.bodies)} frames, the clip has "
                f"{count}; add --frames {len(found.bodies)}"
            )
        sure = found.confidence[:count]
        return Estimate(found.bodies[:count], sure, np.ones(count, int))
    keypoints = None
    if arguments.keypoints is not None:
        from hvc_jax.body.keypoint_files import load_keypoints

        *keypoints, notes = load_keypoints(
            arguments.keypoints, view, count, total=clip.frames, fps=float(clip.fps),
            person=arguments.person,
        )  # fmt: skip
        print(*notes, sep="\n", end="\n" * bool(notes), file=sys.stderr)
    # Nothing is smoothed, and no colours are compared, across a cut.
    bounds = [0, *scene_starts(frames, CutDetector()), count]
    parts = []
    person, folder = _who(arguments)
    with Progress(count, "frames fitted") as fitted:
        for scene in (slice(a, b) for a, b in itertools.pairwise(bounds)):
            known = None if keypoints is None else tuple(column[scene] for column in keypoints)
            parts.append(
                estimate(
                    frames[scene], arguments.effort, keypoints=known, details=True,
                    person=1 if known else person, folder=folder,
                )
            )  # fmt: skip
            fitted.update(len(parts[-1].bodies))
    columns = zip(*(part[:-1] for part in parts), strict=True)
    return Estimate(*map(np.concatenate, columns))
