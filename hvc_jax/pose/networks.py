"""The shipped landmark networks: where they lie, how they are read and run.

Pose detection, pose, face and hand landmarks of MediaPipe 0.10.14 (Apache License 2.0), see
third_party/landmarks. "BlazePose: On-device Real-time Body Pose Tracking" (Bazarevsky et al.,
2020),
"Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs" (Kartynnik et al., 2019),
"MediaPipe Hands" (Zhang et al., 2020).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open

from hvc_jax.ops.batching import padded
from hvc_jax.ops.compile import fast_jit
from hvc_jax.pose.crops import crop
from hvc_jax.pose.graph import OPERATIONS, run_graph

NETWORKS = ("pose_detection", "pose_landmark", "face_landmark", "hand_landmark", "hand_recrop")
"""Names of the networks; each is a file NAME.safetensors."""

_ON_CPU, _ELSEWHERE = 2, 32  # pictures at once; a CPU keeps a layer of two in its cache


class NetworkFileError(ValueError):
    """A file that should hold a landmark network does not; the message names file and fix."""


def networks_folder() -> Path:
    """Returns where the shipped networks lie, in an installed package or in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "third_party" / "landmarks"
    return inside if inside.is_dir() else package.parent / "third_party" / "landmarks"


class Network:
    """A network as a function of pictures.

    Attributes:
      name: one of `NETWORKS`.
      size: rows and columns of its pictures.
      weights: its constants, float32.
      apply: (weights, pictures [B, S, S, 3] float32) to outputs by name; for use under `jit`.
    """

    def __init__(self, name: str, graph: dict, weights: dict[str, jax.Array]) -> None:
        self.name, self.weights = name, weights
        self.size = int(graph["input_shape"][1])
        self.apply: Callable[[dict, jax.Array], dict] = functools.partial(run_graph, graph)
        self._run = fast_jit(self.apply)

    def __call__(self, pictures: jax.Array) -> dict[str, jax.Array]:
        """Returns the outputs by name of pictures [B, S, S, 3] float32."""
        return self._run(self.weights, pictures)


def _read(path: Path, name: str) -> tuple[dict, dict[str, np.ndarray]]:
    fix = "reinstall hvc_jax, or convert it anew with third_party/landmarks/convert.py"
    if not path.is_file():
        raise FileNotFoundError(f"no landmark network at {path}; {fix}")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        graph = json.loads(metadata.get("graph", "{}"))
    except (SafetensorError, json.JSONDecodeError) as error:
        raise NetworkFileError(f"{path} is damaged ({error}); {fix}") from error
    if metadata.get("kind") != "landmark_network" or metadata.get("name") != name:
        found = metadata.get("name", "something else")
        raise NetworkFileError(f"{path} is not the network {name}, but {found}; {fix}")
    unknown = {node["op"] for node in graph["nodes"]} - OPERATIONS
    known = {*arrays, graph["input"], *(node["output"] for node in graph["nodes"])}
    missing = {i for node in graph["nodes"] for i in node["inputs"]} - known
    if unknown or missing:
        raise NetworkFileError(f"{path} names {sorted(unknown | missing)}, which is unknown; {fix}")
    return graph, arrays


@functools.lru_cache(maxsize=8)
def load_network(name: str, folder: str | None = None) -> Network:
    """Returns a network of `NETWORKS`, of this folder or, for None, as it comes with the package.

    Raises FileNotFoundError: there is no such file. Raises NetworkFileError: it is damaged, or
    another network.
    """
    base = networks_folder() if folder is None else Path(folder)
    graph, arrays = _read(base / f"{name}.safetensors", name)
    with jax.ensure_compile_time_eval():
        weights = {k: jax.device_put(v.astype(np.float32)) for k, v in arrays.items()}
    return Network(name, graph, weights)


def in_batches(function: Callable, *columns: np.ndarray) -> list[np.ndarray]:
    """Returns the arrays of `function(*columns)`, run on a few rows at a time, or on a single one.

    The last batch is filled with its last row, so that one program serves all. Batches run beside
    each other: none is waited for before all are under way.
    """
    parts, total = [], len(columns[0])
    size = _ON_CPU if jax.default_backend() == "cpu" else _ELSEWHERE
    size = 1 if total == 1 else size
    for first in range(0, total, size):
        rows = [padded(column[first : first + size], size) for column in columns]
        parts.append(function(*map(jnp.asarray, rows)))
    columns = zip(*parts, strict=True)
    return [np.concatenate([np.asarray(part) for part in column])[:total] for column in columns]


@functools.lru_cache(maxsize=8)
def _program(network: Network, read: Callable) -> Callable:
    def look(weights: dict, pictures: jax.Array, windows: jax.Array) -> tuple[jax.Array, ...]:
        found = network.apply(weights, crop(pictures, windows, network.size))
        return read(found, windows, network.size)

    return fast_jit(look)


def look_through(
    pictures: np.ndarray, windows: np.ndarray, network: Network, read: Callable
) -> list[np.ndarray]:
    """Returns what a network sees in one window of each picture, a few pictures at a time.

    Args:
      pictures: [T, H, H, 3] uint8.
      windows: [T, 4] as in `hvc_jax.pose.crops`.
      network: which.
      read: (outputs by name, windows [B, 4], the network's size) to a tuple of arrays [B, *]; a
        function of a module, so that it is compiled once.
    """
    return in_batches(
        functools.partial(_program(network, read), network.weights), pictures, windows
    )
