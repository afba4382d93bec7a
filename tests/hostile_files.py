"""Broken and hostile model, parameter, keypoint and BVH files, drawn from a seed."""

import contextlib
import functools
import io
import json
import pickle
import pickletools
import re
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
from body_files import random_model

from hvc_jax.models.codec_model import latent_schema
from hvc_jax.models.export import save_export
from hvc_jax.stream.tables import default_tables
from hvc_jax.training.config import load_config

_NUMBERS = ("-1", "0", "1e400", "nan", "-inf", "9" * 400, "2147483648", "1e-300", "0x10", "٣")
_FIELDS = (
    *("pose", "poses", "global_orient", "body_pose", "root_orient", "pose_body", "pred_rotmat"),
    *("orig_cam", "pred_cam", "cam", "bboxes", "transl", "K", "focal_length", "frame_ids"),
    *("frame", "mocap_framerate", "betas", "left_hand_pose", "box_center", "box_size", "img_size"),
    *("smpl_thetas", "bodies", "confidence", "trans", "pose_world", "global_pose", "body_cam"),
)


def mutated(rng, data):
    """Returns bytes with some of them changed, taken out, doubled or put elsewhere."""
    data = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        if not data:
            break
        at = int(rng.integers(len(data)))
        span = int(rng.choice([1, 2, 8, 64]))
        kind = int(rng.integers(7))
        if kind == 0:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data[at : at + span] = rng.bytes(span)
        elif kind == 2:
            del data[at : at + span]
        elif kind == 3:
            data[at:at] = data[at : at + span] * int(rng.integers(1, 20))
        elif kind == 4:
            data[at : at + 4] = int(rng.choice([2**31 - 1, 2**32 - 1, 10**8, 0])).to_bytes(
                4, "little"
            )
        elif kind == 5:
            other = int(rng.integers(len(data)))
            data[at:at] = data[other : other + span]
        else:
            del data[at:]
    return bytes(data)


def _mutated_text(rng, text):
    """Returns text with some of its numbers and words replaced."""
    parts = re.split(r"(\s+|[,:\[\]{}])", text)
    words = [k for k, part in enumerate(parts) if part.strip()]
    for _ in range(int(rng.integers(1, 8))):
        k = words[int(rng.integers(len(words)))]
        other = parts[words[int(rng.integers(len(words)))]]
        parts[k] = str(rng.choice([*_NUMBERS, other, "", other * 50, "{", "}", "[" * 2000]))
    return "".join(parts)


def bvh(rng):
    """Returns name and bytes of a BVH file."""
    from test_body_bvh import HEADER

    rows = rng.normal(0, 50, (int(rng.integers(1, 6)), 42)).round(2)
    text = "\n".join(" ".join(map(str, row)) for row in rows)
    text = f"{HEADER}MOTION\nFrames: {len(rows)}\nFrame Time: 0.04\n{text}\n"
    kind = rng.integers(4)
    if kind == 0:
        return "a.bvh", mutated(rng, text.encode())
    if kind == 1:  # only among the numbers: most of these are read
        head, _, numbers = text.partition("Time: ")
        return "a.bvh", (head + "Time: " + _mutated_text(rng, numbers)).encode()
    if kind == 2:
        return "a.bvh", _mutated_text(rng, text).encode()
    count = int(rng.choice([10, 1000, 5000, 200_000], p=[0.6, 0.2, 0.18, 0.02]))
    joint = f"JOINT b {{ OFFSET 0 1 0 CHANNELS {rng.choice(['0', '1 Xrotation', '3', '-3'])} "
    frames, values = rng.choice([1, 10**9, 1000]), "0 " * int(rng.choice([1, 1000]))
    tail = f"MOTION Frames: {frames} Frame Time: {rng.choice(['0.04', '0', 'nan'])} {values}"
    return "a.bvh", ("HIERARCHY ROOT a { " + joint * count + "} " * (count + 1) + tail).encode()


def _leaf(rng):
    return [
        None, True, "", "12", "frame_3.jpg", 10**400, -1, 3, 0.5, 1e308, float("nan"), [], {},
        [1, 2], {"x": 1, "y": 2}, [[[[1]]]], 2**63, "\ud800", "0" * 1000,
    ][int(rng.integers(19))]  # fmt: skip


def _mutated_tree(rng, node, depth=0):
    """Returns a JSON tree in which some nodes are replaced, renamed, doubled or left out."""
    if rng.random() < 0.02:
        return _leaf(rng)
    if isinstance(node, dict):
        out = {}
        for key, value in node.items():
            if rng.random() < 0.03:
                continue
            name = str(rng.choice(list(node))) if rng.random() < 0.05 else key
            out[name] = _mutated_tree(rng, value, depth + 1)
        return out
    if isinstance(node, list):
        limit = len(node) if rng.random() < 0.9 else int(rng.integers(len(node) + 1))
        if len(node) > 20 and rng.random() < 0.8:
            return node[:limit]
        return [_mutated_tree(rng, value, depth + 1) for value in node[:limit]]
    return node


def keypoints(rng):
    """Returns name and bytes of a keypoint file."""
    count = int(rng.choice([17, 18, 25, 26, 33, 133]))
    points = rng.uniform(0, 200, (3, count, 3)).round(1)
    flat = [p.ravel().tolist() for p in points]
    marks = [
        dict(zip(("x", "y", "z", "visibility"), [*p, 0.5], strict=True)) for p in points[0].tolist()
    ]
    xy, scores = points[0, :, :2].tolist(), points[0, :, 2].tolist()
    trees = [
        [{"image_id": k, "keypoints": f, "score": 1.0, "track_id": k} for k, f in enumerate(flat)],
        {"images": [{"id": 3}, {"id": 5}], "annotations": [{"image_id": 3, "keypoints": flat[0]}]},
        {"instance_info": [
            {"frame_id": 1, "instances": [{"keypoints": xy, "keypoint_scores": scores}]}]},
        {f"{k}.jpg": {"people": [{"pose_keypoints_2d": f}]} for k, f in enumerate(flat)},
        [{"timestamp_ms": 40, "landmarks": [marks]}, None],
        {"keypoints": [{"0": points[0].tolist()}], "skeleton": {}},
    ]  # fmt: skip
    kind = int(rng.integers(6))
    if kind < 3:
        tree = _mutated_tree(rng, trees[int(rng.integers(len(trees)))])
        return "a.json", json.dumps(tree).encode("utf-8", "surrogatepass")
    if kind == 3:
        text = json.dumps(trees[int(rng.integers(len(trees)))])
        return "a.json", _mutated_text(rng, text).encode("utf-8", "replace")
    if kind == 4:
        header = "frame," + ",".join(f"{k}{i}" for i in range(33) for k in "xyzv")
        rows = [f"{t}," + ",".join(map(str, rng.random(132).round(3))) for t in range(3)]
        text = "\n".join([header, *rows][int(rng.integers(2)) :])
        changed = (
            _mutated_text(rng, text).encode() if rng.random() < 0.5 else mutated(rng, text.encode())
        )
        return "a.csv", changed
    file = io.BytesIO()
    np.save(file, points)
    return "a.npy", mutated(rng, file.getvalue())


def _good_fields(rng, frames):
    """Returns the fields of an estimator's file that can be read."""
    normal = lambda *shape: rng.normal(0, 0.5, (frames, *shape))  # noqa: E731
    matrices = lambda *shape: np.broadcast_to(np.eye(3), (frames, *shape, 3, 3)).copy()  # noqa: E731
    far = normal(3) + [0, 0, 9]
    smplx = {"global_orient": normal(3), "body_pose": normal(63), "jaw_pose": normal(3),
             "left_hand_pose": normal(45), "right_hand_pose": normal(45)}  # fmt: skip
    choices = [
        {"pose": normal(72), "orig_cam": normal(4) + 1, "frame_ids": np.arange(frames) * 3},
        {"pose": normal(24, 3), "pred_cam": normal(3) + 1, "bboxes": normal(4) + 100},
        {"poses": normal(156), "trans": normal(3), "mocap_framerate": np.array(120.0)},
        {"root_orient": normal(3), "pose_body": normal(63), "pose_hand": normal(90)},
        {"cam": normal(3) + 1, "smpl_thetas": normal(72), "cam_trans": far},
        {"global_orient": matrices(1), "body_pose": matrices(23), "pred_cam": normal(3) + 1,
         "box_center": normal(2), "box_size": normal() + 9, "img_size": np.array([320, 240])},
        smplx | {"transl": far, "K_fullimg": matrices() * 400},
        smplx | {"transl": far, "focal": np.array([400.0, 400.0]), "princpt": np.ones(2)},
        {"pred_rotmat": matrices(24), "pred_trans": far[:, None], "img_focal": np.array(400.0)},
        {"pose": normal(72), "trans": far, "pose_world": normal(72), "betas": normal(10)},
        {"global_pose": matrices(1), "body_pose": matrices(21), "body_cam": normal(3),
         "bbox": normal(4)},
        {"bodies": normal(188).astype(np.float32), "confidence": normal()},
    ]  # fmt: skip
    return choices[int(rng.integers(len(choices)))]


def _fields(rng):
    """Returns fields of a parameter file of which some have another name, shape, type or value."""
    frames = int(rng.integers(1, 5))
    out = _good_fields(rng, frames)
    shapes = [(), (0,), (2,), (3, 3), (frames,), (frames, 0), (0, 72), (frames, 3), (frames, 4),
              (frames, 69), (frames, 72), (frames, 24, 3, 3), (frames, 1, 3), (1,) * 5]  # fmt: skip
    kinds = [np.float32, np.int64, np.uint8, np.complex64, np.str_, np.bool_, object]
    for _ in range(int(rng.integers(0, 3))):
        name = str(rng.choice(list(out)))
        kind = int(rng.integers(6))
        with np.errstate(all="ignore"):
            if kind == 0:
                out[str(rng.choice(_FIELDS))] = out.pop(name)
            elif kind == 1:
                out[name] = rng.normal(0, 1, shapes[int(rng.integers(len(shapes)))])
            elif kind == 2:
                wanted = kinds[int(rng.integers(len(kinds)))]
                with contextlib.suppress(ValueError, TypeError, OverflowError):
                    out[name] = np.asarray(out[name]).astype(wanted)
            elif kind == 3 and np.asarray(out[name]).dtype.kind in "fiub":
                out[name] = out[name] * rng.choice([0, np.nan, np.inf, 1e6, 1e300, -1])
            elif kind == 4 and np.asarray(out[name]).dtype.kind in "fiub":
                values = np.array(out[name], np.float64)
                values.flat[: int(rng.integers(1, 4))] = rng.choice([np.nan, np.inf, 1e300, -5, 0])
                out[name] = values
            else:
                out[str(rng.choice(_FIELDS))] = rng.normal(
                    0, 1, shapes[int(rng.integers(len(shapes)))]
                )
    return out


def _program(rng, seed):
    """Returns a pickle whose opcodes are those of `seed` with some exchanged or repeated."""
    opcodes = list(pickletools.genops(seed))
    ends = [position for _, _, position in opcodes[1:]] + [len(seed)]
    pieces = [seed[p:e] for (_, _, p), e in zip(opcodes, ends, strict=True)]
    extra = [b"}", b"]", b")", b"(", b"t", b"\x85", b"s", b"a", b"e", b"b", b"R", b"\x81", b"0",
             b"2", b"K\x01", b"J\xff\xff\xff\x7f", b"r\xff\xff\xff\x7f", b"h\x00", b"\x8f",
             b"\x90", b"\x91",
             b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", b"cnumpy.core.multiarray\nscalar\n",
             b"cnumpy.core.multiarray\n_reconstruct\n", b"cscipy.sparse.csc\ncsc_matrix\n",
             b"cchumpy.ch\nCh\n", b"ccollections\nOrderedDict\n", b"cbuiltins\nset\n",
             b"cos\nsystem\n", b"S'f8'\n", b"S'V1000000000'\n", b"X\x01\x00\x00\x00x"]  # fmt: skip
    for _ in range(int(rng.integers(1, 10))):
        at = int(rng.integers(len(pieces)))
        piece = extra[int(rng.integers(len(extra)))] * int(rng.choice([1, 1, 1, 2, 3000]))
        kind = rng.integers(4)
        if kind == 0:
            pieces[at] = piece
        elif kind == 1:
            pieces.insert(at, piece)
        elif kind == 2:
            pieces.insert(at, pieces[int(rng.integers(len(pieces)))])
        elif len(pieces) > 1:
            del pieces[at]
    return b"".join(pieces)


def _packed(rng, fields, name):
    """Returns name and bytes of fields as .npz, .npy, .pkl or .json, often damaged."""
    kind = int(rng.integers(6))
    if kind < 2:
        file = io.BytesIO()
        (np.savez if rng.random() < 0.5 else np.savez_compressed)(file, **fields)
        data = file.getvalue()
        if rng.random() < 0.3:
            inner = io.BytesIO()
            with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
                for key, value in fields.items():
                    one = io.BytesIO()
                    np.save(one, value)
                    archive.writestr(f"{key}.npy", mutated(rng, one.getvalue()))
                if rng.random() < 0.3:
                    archive.writestr("bomb.npy", bytes(1 << 24))
            data = inner.getvalue()
        return f"{name}.npz", mutated(rng, data) if rng.random() < 0.5 else data
    if kind == 2:
        file = io.BytesIO()
        np.save(file, fields if rng.random() < 0.5 else next(iter(fields.values())))
        return f"{name}.npy", mutated(
            rng, file.getvalue()
        ) if rng.random() < 0.7 else file.getvalue()
    if kind == 3 and all(value.dtype.kind in "fi" for value in fields.values()):
        tree = {key: value.tolist() for key, value in fields.items()}
        return f"{name}.json", json.dumps(_mutated_tree(rng, tree)).encode("utf-8", "surrogatepass")
    tree = [fields, {1: fields, 2: fields}, [fields, fields], {"a_1.jpg": fields}][
        int(rng.integers(4))
    ]
    data = pickle.dumps(tree, int(rng.integers(6)))
    if rng.random() < 0.7:
        data = _program(rng, data) if rng.random() < 0.6 else mutated(rng, data)
    return f"{name}.pkl", zlib.compress(data) if rng.random() < 0.1 else data


def parameters(rng):
    """Returns name and bytes of a parameter file."""
    return _packed(rng, _fields(rng), "a")


_MODEL = random_model("smpl", vertices=30, directions=4)


def model(rng):
    """Returns name and bytes of a body model."""
    fields = {key: np.asarray(value) for key, value in _MODEL.items()}
    for key in rng.choice(list(fields), int(rng.integers(0, 3))):
        other = fields[str(rng.choice(list(fields)))]
        fields[str(key)] = [other, other.ravel(), other * np.nan, other[:1], other.T][
            int(rng.integers(5))
        ]
    if rng.random() < 0.2:
        del fields[str(rng.choice(list(fields)))]
    name, data = _packed(rng, fields, "m")
    return name.replace(".npy", ".pkl").replace(".json", ".pkl"), data


@functools.cache
def _good_export():
    """Returns header and arrays of a model file with a real configuration and few parameters."""
    config = load_config("configs/semantic.py:size=tiny")
    rng = np.random.default_rng(0)
    params = {"a": {"kernel": rng.normal(0, 1, (8, 8)), "bias": np.zeros(8)}, "b": np.ones(3)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.safetensors"
        tables = default_tables(latent_schema(config.model.motion))
        save_export(path, "semantic", config, params, tables)
        data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def export(rng):
    """Returns name and bytes of a codec model as `hvc export` writes it."""
    header, arrays = _good_export()
    header, name = json.loads(json.dumps(header)), "m.safetensors"
    kind, text = int(rng.integers(5)), header["__metadata__"]["hvc"]
    if kind == 0:
        header["__metadata__"]["hvc"] = json.dumps(_mutated_tree(rng, json.loads(text)))
    elif kind == 1:
        header["__metadata__"]["hvc"] = _mutated_text(rng, text)
    elif kind == 2:
        header = _mutated_tree(rng, header)
    elif kind == 3:
        arrays = mutated(rng, arrays)
    packed = json.dumps(header).encode("utf-8", "surrogatepass")
    data = len(packed).to_bytes(8, "little") + packed + arrays
    return name, mutated(rng, data) if kind == 4 else data
