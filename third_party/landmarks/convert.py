"""Converts MediaPipe's landmark networks to safetensors: a graph as JSON, weights of 16 bits.

    pip download --no-deps mediapipe==0.10.14 && unzip -q mediapipe-*.whl -d mediapipe_wheel
    pip install ai-edge-litert
    python third_party/landmarks/convert.py mediapipe_wheel/mediapipe/modules

Only the schema of .tflite files is taken from ai-edge-litert; nothing is run. Constants that the
files hold as 16-bit numbers (all weights of the networks named below) are kept as they are; sparse
ones are made dense. What is left are a dozen kinds of operations, `hvc_jax.pose.graph` runs them.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from safetensors.numpy import save_file

NETWORKS = {
    "pose_detection": "pose_detection/pose_detection.tflite",
    "pose_landmark": "pose_landmark/pose_landmark_full.tflite",
    "face_landmark": "face_landmark/face_landmark.tflite",
    "hand_landmark": "hand_landmark/hand_landmark_full.tflite",
    "hand_recrop": "holistic_landmark/hand_recrop.tflite",
}
OUTPUTS = {
    "pose_detection": ("boxes", "scores"),
    "pose_landmark": ("landmarks", "presence", "mask", "heat", "world"),
    "face_landmark": ("landmarks", "presence"),
    "hand_landmark": ("landmarks", "presence", "handedness", "world"),
    "hand_recrop": ("points",),
}
"""Names of the outputs, in the order of the files."""

_DTYPES = {0: np.float32, 1: np.float16, 2: np.int32, 3: np.uint8, 4: np.int64, 9: np.int8}
_ACTIVATIONS = {0: "", 1: "relu", 3: "relu6"}
_OPS = {
    value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")
}


def constant(tensor: schema.TensorT, buffers: list) -> np.ndarray | None:
    """Returns what a tensor of the file holds, dense, or None for one that is computed."""
    data = buffers[tensor.buffer].data
    if data is None or not len(data):
        return None
    flat = np.frombuffer(bytes(data), _DTYPES[tensor.type])
    shape = [] if tensor.shape is None else [int(n) for n in tensor.shape]
    if tensor.sparsity is None:
        return flat.reshape(shape)
    return dense(flat, shape, tensor.sparsity)


def dense(values: np.ndarray, shape: list[int], sparsity: schema.SparsityParametersT) -> np.ndarray:
    """Returns the dense array of the stored values of a sparse tensor.

    Levels are walked from the outermost: a dense one has all its places, a compressed one lists
    them. Blocks of values, in the dimensions after the tensor's own, are laid where their block is.
    """
    order = list(sparsity.traversalOrder)
    blocks = [] if sparsity.blockMap is None else list(sparsity.blockMap)
    rank = len(shape)
    levels = []
    for level in sparsity.dimMetadata:
        if level.format == schema.DimensionType.DENSE:
            levels.append(int(level.denseSize))
        else:
            segments = np.asarray(level.arraySegments.values, np.int64)
            levels.append((segments, np.asarray(level.arrayIndices.values, np.int64)))
    sizes = {order[k]: n for k, n in enumerate(levels) if isinstance(n, int) and order[k] >= rank}
    rows = np.array([0])
    coordinates: list[np.ndarray] = []
    for level in levels:
        if isinstance(level, int):
            count = len(rows)
            coordinates = [np.repeat(c, level) for c in coordinates]
            coordinates.append(np.tile(np.arange(level), count))
            rows = (rows[:, None] * level + np.arange(level)).reshape(-1)
        else:
            segments, indices = level
            counts = segments[rows + 1] - segments[rows]
            coordinates = [np.repeat(c, counts) for c in coordinates]
            starts = np.repeat(segments[rows], counts)
            within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            rows = starts + within
            coordinates.append(indices[rows])
    at = [np.zeros(len(rows), np.int64) for _ in shape]
    for k, coordinate in enumerate(coordinates):
        axis = order[k]
        if axis < rank:
            factor = sizes[rank + blocks.index(axis)] if axis in blocks else 1
            at[axis] = at[axis] + coordinate * factor
        else:
            at[blocks[axis - rank]] = at[blocks[axis - rank]] + coordinate
    out = np.zeros(shape, values.dtype)
    out[tuple(at)] = values[rows]
    return out


def graph_of(path: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Returns the nodes of a .tflite file and its constants by name, as `pose.graph` reads them."""
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    graph = model.subgraphs[0]
    known: dict[int, np.ndarray] = {}
    for index, tensor in enumerate(graph.tensors):
        value = constant(tensor, model.buffers)
        if value is not None:
            known[index] = value
    nodes, used = [], {}

    def name(index: int) -> str:
        if index in known:
            used[f"c{index}"] = known[index]
            return f"c{index}"
        return f"t{index}"

    for op in graph.operators:
        code = model.operatorCodes[op.opcodeIndex]
        kind = _OPS[max(code.builtinCode, code.deprecatedBuiltinCode)]
        inputs, options = [int(i) for i in op.inputs], op.builtinOptions
        if kind in ("DEQUANTIZE", "DENSIFY") and inputs[0] in known:
            known[int(op.outputs[0])] = known[inputs[0]]
            continue
        node: dict = {"op": kind.lower()}
        if kind == "PAD":
            node["paddings"] = known[inputs[1]].tolist()
        elif kind == "RESIZE_BILINEAR":
            node["size"] = known[inputs[1]].tolist()
            node["half_pixel"] = bool(options.halfPixelCenters)
            node["align"] = bool(options.alignCorners)
        elif kind == "RESHAPE":
            node["shape"] = known[inputs[1]].tolist()
        elif kind == "MEAN":
            node["axes"], node["keep"] = known[inputs[1]].tolist(), bool(options.keepDims)
        elif kind == "STRIDED_SLICE":
            node["begin"], node["end"], node["steps"] = (known[i].tolist() for i in inputs[1:])
            node["masks"] = [int(options.beginMask), int(options.endMask)]
        if kind in ("PAD", "RESIZE_BILINEAR", "RESHAPE", "MEAN", "STRIDED_SLICE"):
            inputs = inputs[:1]
        if kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D"):
            node["strides"] = [int(options.strideH), int(options.strideW)]
            node["padding"] = "SAME" if options.padding == 0 else "VALID"
            if kind != "MAX_POOL_2D":
                assert options.dilationHFactor == options.dilationWFactor == 1, "dilated"
            else:
                node["window"] = [int(options.filterHeight), int(options.filterWidth)]
        elif kind == "CONCATENATION":
            node["axis"] = int(options.axis)
        elif kind == "DEPTH_TO_SPACE":
            node["block"] = int(options.blockSize)
        activation = getattr(options, "fusedActivationFunction", 0)
        node["activation"] = _ACTIVATIONS[activation]
        node["inputs"] = [name(i) for i in inputs if i >= 0]
        node["output"] = name(int(op.outputs[0]))
        nodes.append(node)
    shape = [int(n) for n in graph.tensors[graph.inputs[0]].shape]
    return {
        "input": name(int(graph.inputs[0])),
        "input_shape": shape,
        "outputs": [name(int(i)) for i in graph.outputs],
        "nodes": nodes,
    }, used


def main() -> None:
    """Writes one file for each network beside this script."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modules", type=Path, help="folder mediapipe/modules of the wheel")
    parser.add_argument("--output", type=Path, default=Path(__file__).resolve().parent)
    arguments = parser.parse_args()
    for network, path in NETWORKS.items():
        graph, constants = graph_of(arguments.modules / path)
        graph["output_names"] = list(OUTPUTS[network])
        arrays = {k: np.ascontiguousarray(v, np.float16) for k, v in constants.items()}
        metadata = {"kind": "landmark_network", "name": network, "graph": json.dumps(graph)}
        save_file(arrays, arguments.output / f"{network}.safetensors", metadata=metadata)
        print(network, sum(a.size for a in arrays.values()), "weights,", len(graph["nodes"]), "ops")


if __name__ == "__main__":
    main()
