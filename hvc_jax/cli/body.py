"""`hvc body`: describe, convert and render body models."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

DESCRIPTION = "Describes, converts and renders body models."
EXAMPLES = """\
examples:
  hvc body info                                  (the open body)
  hvc body info SMPLX_NEUTRAL.npz
  hvc body info wham_output.pkl                  (whose parameters, which camera, how many frames)
  hvc body convert SMPL_NEUTRAL.pkl smpl.npz     (plain arrays; nothing in the .pkl is executed)
  hvc body render --pose sitting --out sitting.png
  hvc body render --pose standing --set head_yaw=30deg --set expression_0=2 --map parts --out p.png
  hvc body render --body SMPLX_NEUTRAL.npz --pose arms_up --out up.png
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    from hvc_jax.body.poses import POSES

    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    info = actions.add_parser("info", help="what a model, parameter, motion or keypoint file holds")
    info.add_argument("file", type=Path, nargs="?", help="any (default: the open body)")
    info.add_argument("--json", action="store_true", help="print one JSON object")
    info.set_defaults(run=run_info)
    convert = actions.add_parser("convert", help="a model file to a plain .npz")
    convert.add_argument("file", type=Path, help=".pkl or .npz of SMPL, SMPL-H or SMPL-X")
    convert.add_argument("output", type=Path, help=".npz")
    convert.set_defaults(run=run_convert)
    render = actions.add_parser("render", help="a picture of a posed body")
    render.add_argument("--body", type=Path, help="model file (default: the open body)")
    render.add_argument(
        "--pose", default="standing", help=f"{', '.join(POSES)}, or a .npy of body vectors [N, 188]"
    )
    render.add_argument(
        "--set", action="append", default=[], dest="assignments", metavar="NAME=VALUE",
        help="a parameter, e.g. head_yaw=20deg, betas_0=1, camera_scale=2; may be repeated",
    )  # fmt: skip
    render.add_argument("--map", default="shaded", help="shaded, parts, normals or depth")
    render.add_argument("--size", type=int, default=512, help="pixels (512)")
    render.add_argument("--out", type=Path, required=True, help=".png")
    render.set_defaults(run=run_render)


def run_info(arguments: argparse.Namespace) -> int:
    """Prints what a model file holds."""
    facts = record(arguments.file)
    print(json.dumps(facts) if arguments.json else "\n".join(lines(facts)))
    return 0


def kind_of(path: Path) -> str:
    """Returns what a file of motion, parameters or keypoints holds, or which other kind it is.

    Raises ValueError: it is of no kind that is known; the message says what each reader found.
    """
    from hvc_jax.body import keypoint_files, parameter_files

    coded = _coded(path)
    if coded:
        return coded
    said = []
    for describe_file in (parameter_files.describe, keypoint_files.describe):
        try:
            return describe_file(path)
        except (ValueError, LookupError, TypeError, OSError, ArithmeticError, RecursionError) as e:
            said.append(str(e))
        if path.suffix.lower() == ".bvh":
            raise ValueError(said[0])
    clip = _clip(path)
    if clip:
        return clip
    if path.suffix.lower() in (".json", ".csv") or path.is_dir():
        said[0] += f". As keypoints: {said[1]}"
    raise ValueError(
        f"{path} is no body model, no parameters and no keypoints. As parameters: {said[0]}"
    )


def _coded(path: Path) -> str:
    """Returns what a stream or a codec's model is and the command for it, "" of other files."""
    from hvc_jax.stream.header import MAGIC

    if not path.is_file():
        return ""
    with path.open("rb") as file:
        start = file.read(16)
    if start[:4] == MAGIC:
        return f"an .hvc stream; see hvc inspect {path}"
    if path.suffix.lower() == ".safetensors" and start[8:9] == b"{":
        return f"a codec's model; see hvc models, or hvc encode --model {path}"
    return ""


def _clip(path: Path) -> str:
    """Returns what a video or pictures are and the commands for them, "" of other files."""
    from hvc_jax.data import clips

    try:
        clip = clips.probe(path)
    except clips.ClipError:
        return ""
    size = f"{clip.width}x{clip.height}"
    if clip.frames == 1:
        return f"a picture, {size}"
    what = "pictures" if path.is_dir() else "a video"
    count = f", {clip.frames} frames" if clip.frames else ""
    return (
        f"{what}, {size}, {float(clip.fps):g} frames/s{count}; see hvc fit {path} body.npz, "
        f"or hvc encode {path} out.hvc"
    )


def record(path: Path | None) -> dict[str, Any]:
    """Returns what `hvc body info` says: `what` of files of motion, else the facts of a body model.

    Raises ValueError: the file is no body model, and holds no parameters, motion or keypoints.
    """
    from hvc_jax.body.assets import is_open_body, load_body
    from hvc_jax.body.files import BodyFileError, is_model

    if path is not None and not path.exists():
        raise BodyFileError(f"{path} does not exist")
    if path is not None and not is_open_body(str(path)) and not is_model(path):
        return {"file": str(path), "what": kind_of(path)}
    body = load_body(None if path is None else str(path), num_betas=300, num_expression=100)
    size = np.ptp(np.asarray(body.v_template), axis=0)
    reach = [np.linalg.norm(np.asarray(d), axis=-1).max() for d in body.shapedirs[:3]]
    hands = body.hands_components
    return {
        "file": None if path is None else str(path),
        "name": body.name,
        "vertices": body.num_vertices,
        "triangles": len(body.faces),
        "joints": body.num_joints,
        "betas": body.num_betas,
        "expressions": body.num_expression,
        "pose_correctives": len(body.posedirs),
        "height_m": float(size[1]),
        "width_m": float(size[0]),
        "reach_of_betas_cm": [round(100 * float(most), 1) for most in reach[: body.num_betas]],
        "hand_components": None if hands is None else hands.shape[1],
        "parts": list(body.part_names) if body.name == "open_body" else None,
    }


def lines(facts: dict[str, Any]) -> list[str]:
    """Returns the lines that tell a `record`."""
    if "what" in facts:
        return [f"{facts['file']}: {facts['what']}"]
    hands = facts["hand_components"]
    said = [
        f"{facts['name']}: {facts['vertices']} vertices, {facts['triangles']} triangles, "
        f"{facts['joints']} joints",
        f"shape directions {facts['betas']}, expression directions {facts['expressions']}, "
        f"pose correctives {facts['pose_correctives']}",
        f"template {facts['height_m']:.3f} m high, {facts['width_m']:.3f} m wide",
        *(
            f"  betas_{k}: moves vertices by up to {reach} cm per unit"
            for k, reach in enumerate(facts["reach_of_betas_cm"])
        ),
        f"hand components {'none' if hands is None else f'{hands} a hand'}",
    ]
    return said + ([f"parts: {', '.join(facts['parts'])}"] if facts["parts"] else [])


def run_convert(arguments: argparse.Namespace) -> int:
    """Writes a model file as a plain .npz."""
    from hvc_jax.body import files
    from hvc_jax.ops.files import check_output

    if arguments.output.suffix != ".npz":
        raise ValueError(f"{arguments.output}: name the output .npz")
    check_output(arguments.output, inputs=(arguments.file,), suffixes=(".npz",))
    model = files.read_model(arguments.file)
    files.write_model(arguments.output, model)
    joints = model["kintree_table"].shape[1]
    print(
        f"{arguments.output}: {files.KINDS[joints]}, {len(model['v_template'])} vertices, "
        f"{joints} joints, {arguments.output.stat().st_size / 1e6:.1f} MB"
    )
    return 0


def run_render(arguments: argparse.Namespace) -> int:
    """Renders a pose into a PNG; several body vectors go side by side."""
    from hvc_jax.body import shade
    from hvc_jax.body.assets import load_body
    from hvc_jax.data.clips import write_png
    from hvc_jax.ops.files import check_output

    if not 8 <= arguments.size <= 4096:
        raise ValueError(f"--size {arguments.size}: choose 8 to 4096 pixels")
    inputs = [arguments.pose] if arguments.body is None else [arguments.pose, arguments.body]
    check_output(arguments.out, inputs=inputs, suffixes=(".png",))
    vectors = read_pose(arguments.pose)
    for text in arguments.assignments:
        assign(vectors, text)
    body = load_body(None if arguments.body is None else str(arguments.body))
    pictures = shade.render(body, vectors, arguments.size, arguments.map)
    write_png(arguments.out, np.concatenate(list(pictures), axis=1))
    print(f"{arguments.out}: {len(pictures)} x {arguments.size}x{arguments.size}, {arguments.map}")
    return 0


def read_pose(text: str) -> np.ndarray:
    """Returns body vectors [N, 188] of a pose name or a .npy file; else ValueError."""
    from hvc_jax.body.params import BODY_VECTOR_SIZE
    from hvc_jax.body.poses import pose_vector

    if not text.endswith(".npy"):
        return pose_vector(text)[None]
    vectors = np.atleast_2d(np.load(text, allow_pickle=False)).astype(np.float32)
    if vectors.ndim != 2 or vectors.shape[1] != BODY_VECTOR_SIZE or not 1 <= len(vectors) <= 16:
        raise ValueError(f"{text}: shape {vectors.shape}; give 1 to 16 vectors of 188 numbers")
    return vectors


def assign(vectors: np.ndarray, text: str) -> None:
    """Changes body vectors [N, 188] in place as "head_yaw+=20deg" says; else ValueError."""
    from hvc_jax.body.params import resolve_name
    from hvc_jax.stream.operations import parse_assignment

    operation = parse_assignment(text)
    try:
        slot = resolve_name(operation.names[0])
    except KeyError as error:
        raise ValueError(error.args[0]) from None
    if operation.kind == "set":
        vectors[:, slot] = operation.value
    elif operation.kind == "add":
        vectors[:, slot] += operation.value
    else:
        vectors[:, slot] *= operation.value
