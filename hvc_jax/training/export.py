"""From a finished run to the file that codecs open: parameters, learned steps, integer tables."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict, FrozenConfigDict
from tqdm import tqdm

from hvc_jax.models.codec_model import CodecModel, learned_schema, sends_bodies
from hvc_jax.models.export import Export, save_export
from hvc_jax.ops.batching import batches, padded
from hvc_jax.ops.compile import fast_jit
from hvc_jax.stream.header import WITH_FIELD
from hvc_jax.stream.tables_fit import fit_tables
from hvc_jax.training.checkpoint import restore_params
from hvc_jax.training.init import load_params
from hvc_jax.training.rates import compare_rates, fitted_prior

_BATCH = 16
_PAST = 4  # frames that an exported prior looks back, of those that the coder sees

Clip = tuple[np.ndarray, np.ndarray]


def export_run(
    workdir: Path,  # Where the run wrote its checkpoints and config.json
    out: Path,  # The .safetensors file to write
    *,
    lmbda: float | None = None,  # Of a run of replicas, which one
    # (export or workdir, share) of another run of the same model, such as the one that this began
    # from; parameters are the weighted means
    blend: tuple[Path, float] | None = None,
    # (frames uint8 [T, H, W, 3], body vectors [T, 188]) to fit the tables on; None takes them from
    # the run's training data
    clips: Iterable[Clip] | None = None,
    # Side of the pictures that tokens are taken from, pixels; None = as in training
    size: int | None = None,
    # Factor on all quantisation steps, where training left them finer than pays
    step_scale: float = 1.0,
    # Of a generator of fields: a semantic model, whose parameters go along; the export is then of
    # the variant hybrid and codes them as that model does
    bodies_of: Export | None = None,
    most_clips: int = 32,  # Clips taken at most
    most_frames: int = 128,  # Frames taken from the beginning of each
) -> Export:
    """Writes the export of the best checkpoint of a run by validation, else of its newest.

    Of four clips or more, half fit the prior as well; of the others' motion `rates` of the export's
    configuration tells the bits a frame, estimated and real.

    Raises ValueError: No finished run in workdir, no such replica in it, blended models differ, or
    a factor that is not positive.
    """
    if not step_scale > 0:
        raise ValueError(f"step_scale is {step_scale}; give a factor above 0, 1 for none")
    config = read_config(workdir)
    params = restore_params(workdir, "ema")
    lmbdas = list(config.loss.get("lmbdas", ()))
    if lmbdas or lmbda is not None:
        if lmbda not in lmbdas:
            raise ValueError(f"{workdir}: has models of lmbda {lmbdas or config.loss.lmbda}")
        params = jax.tree.map(lambda x: x[lmbdas.index(lmbda)], params)
        config.loss.update(lmbda=float(lmbda), lmbdas=())
    if size is not None:
        config.data.size = size
    if blend is not None:
        params = blended(params, *blend)
    if "log_step" in params:
        params = {**params, "log_step": params["log_step"] + np.log(step_scale)}
    kind = config.model.motion.kind
    if kind in WITH_FIELD:
        tables = None if bodies_of is None else bodies_of.tables
        return save_export(out, "hybrid" if tables else "field", config, params, tables)
    if bodies_of is not None:
        raise ValueError(f"{workdir}: is a {kind} model, which codes its own parameters")
    if clips is None:
        clips = training_clips(config, most_clips, most_frames)
    tracks = latent_tracks(config.model, params, clips)
    tables = fit_tables(learned_schema(config.model, params), tracks)
    if config.model.get("past", 0) and len(tracks) >= 4:
        # Training may do with a prior that sees one frame, in a third of the time.
        config.model.past = max(config.model.past, _PAST)
        params = fitted_prior(config.model, params, tracks[::2])
        rates = compare_rates(config.model, _as_stored(params), tracks[1::2])
        if rates is not None:
            with config.unlocked():
                config.rates = ConfigDict(rates._asdict())
    return save_export(out, kind, config, params, tables)


def blended(params: dict[str, Any], source: Path, share: float) -> dict[str, Any]:
    """Weighted means of the parameters and those of `source`, another run of the same model.

    A model that was trained on from another, and fits its training data better, often does best on
    other data halfway between the two (Wortsman et al., "Robust fine-tuning of zero-shot models").
    `source`: an export or a workdir; `share`: of its parameters, 0 to 1. Raises ValueError: The
    parameters of `source` have other names or shapes.
    """
    other = load_params(source)
    if jax.tree.map(np.shape, params) != jax.tree.map(np.shape, other):
        raise ValueError(f"{source}: holds another model; blend runs of the same configuration")
    return jax.tree.map(lambda a, b: (1 - share) * np.asarray(a) + share * b, params, other)


def read_config(workdir: Path) -> ConfigDict:
    """The configuration a run was made with. Raises ValueError: There is none."""
    path = workdir / "config.json"
    if not path.is_file():
        raise ValueError(f"{workdir}: holds no training run; give the --workdir of hvc train")
    return ConfigDict(json.loads(path.read_text()))


def latent_tracks(
    model_config: Any, params: dict[str, Any], clips: Iterable[Clip]
) -> list[np.ndarray]:
    """The latents [T, D] float32 of clips, by the parameters as float16, as exported."""
    model, stored = CodecModel(FrozenConfigDict(model_config)), _as_stored(params)

    @fast_jit
    def analyse(params: Any, frames: Any, key: Any, bodies: Any) -> Any:
        unit, key = frames.astype("float32") / 255, key.astype("float32") / 255
        keys = jnp.broadcast_to(key, unit.shape)
        return model.apply({"params": params}, unit, keys, bodies, method="analyse")

    @fast_jit
    def analyse_key(params: Any, key: Any, body: Any) -> Any:
        unit = key[None].astype("float32") / 255
        return model.apply({"params": params}, unit, body[None], method="analyse_key")[0]

    def latents(clip: Clip) -> np.ndarray:
        key, parts = clip[0][0], zip(*(batches(each, _BATCH) for each in clip), strict=True)
        made = [
            analyse(stored, padded(p, _BATCH), key, padded(b, _BATCH))[: len(p)] for p, b in parts
        ]
        made[0] = made[0].at[0].set(analyse_key(stored, key, clip[1][0]))
        return np.concatenate(made).astype(np.float32)

    return [latents(clip) for clip in clips]


def _as_stored(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters after a round trip through float16."""
    return jax.tree.map(lambda x: np.asarray(x, np.float16).astype(np.float32), params)


def training_clips(config: Any, most_clips: int, most_frames: int) -> Iterator[Clip]:
    """The first frames of clips of a run's training data, at its picture size.

    `most_clips`: from each data set at most, spread over it; `most_frames`: of a clip at most.
    """
    from hvc_jax.body.params import BODY_VECTOR_SIZE
    from hvc_jax.data.frames import FrameDataset
    from hvc_jax.data.pipeline import require_bodies
    from hvc_jax.data.sources import parse_sources, resolve

    size = (config.data.size, config.data.size)
    for path, _ in parse_sources(config.data.path):
        dataset = FrameDataset(resolve(path, config.data))
        chosen = np.linspace(0, len(dataset.clips) - 1, min(most_clips, len(dataset.clips)))
        for clip in tqdm(chosen.astype(int), desc=f"latents of {Path(path).name}"):
            count = min(dataset.clips[clip].frames, most_frames)
            pictures = [dataset.picture(clip, t).convert("RGB").resize(size) for t in range(count)]
            bodies = dataset.body(clip)
            if bodies is None and sends_bodies(config.model.motion):
                require_bodies(dataset, [int(clip)])
            if bodies is None:
                bodies = np.zeros((count, BODY_VECTOR_SIZE), np.float32)
            yield np.stack([np.asarray(p) for p in pictures]), bodies[:count]
