"""The same streams shown by the stream's own blend and by generators; compare.csv and summary.csv.

    python experiments/051_generator/compare.py CLIPS --streams DIR --dists-weights weights.pt \
        --models generator=hvc_jax/pretrained/field.safetensors

Each clip (first 64 frames, 256x256) is coded once at every key QP, effort 1, into DIR. A row for
each clip, QP and model: bytes of the stream; PSNR over all frames; LPIPS-VGG and DISTS over every
8th; change of squared error between neighbouring frames of the clip and of what is shown (flicker,
1 is the clip's own). Needs `pip install '.[lpips]'`.
"""

import argparse
import io
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from hvc_jax.codec.field_codec import FieldCodec
from hvc_jax.codec.field_decoder import FieldDecoder
from hvc_jax.codec.field_network import FieldNetwork
from hvc_jax.codec.options import EncodeOptions
from hvc_jax.data.builders import videos_in
from hvc_jax.data.clips import Clip, read_clip
from hvc_jax.evaluation import learned_metrics
from hvc_jax.evaluation.metrics import psnr
from hvc_jax.models.export import load_export
from hvc_jax.ops.compile import keep_compiled_programs
from hvc_jax.ops.files import write_bytes
from hvc_jax.stream.container import StreamReader

HERE = Path(__file__).parent
FRAMES, EVERY = 64, 8


def stream_of(clip: Clip, path: Path, qp: int) -> bytes:
    """The stream of a clip without a generator, kept at `path`."""
    if not path.exists():
        options = EncodeOptions(key_qp=qp, effort=1)
        frames = list(clip.frames)
        data = FieldCodec().encode(frames, fps=clip.fps, options=options, frame_count=len(frames))
        write_bytes(path, data)
    return path.read_bytes()


def shown(data: bytes, network: FieldNetwork | None) -> np.ndarray:
    """The frames [T, H, W, 3] uint8 of a stream, made by a generator or (None) by the blend."""
    reader = StreamReader(io.BytesIO(data))
    decoder = FieldDecoder(reader.header, network=network)
    return np.stack([frame for unit in reader.units() for frame in decoder.push(unit)])


def flicker(original: np.ndarray, frames: np.ndarray) -> float:
    """Mean squared difference of neighbouring frames, relative to that of the original."""
    a, b = (np.square(np.diff(x.astype(np.float32), axis=0)).mean() for x in (original, frames))
    return float(b / max(a, 1e-6))


def main() -> None:
    """Runs the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("--streams", type=Path, required=True, help="folder for the streams")
    parser.add_argument("--models", nargs="*", default=[], metavar="NAME=FILE")
    parser.add_argument("--qps", type=int, nargs="+", default=[38, 42, 46, 50])
    parser.add_argument("--dists-weights", type=Path, required=True)
    parser.add_argument("--every-clip", type=int, default=1, help="take every so many clips")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the tables")
    arguments = parser.parse_args()
    keep_compiled_programs()
    networks: dict[str, FieldNetwork | None] = {"blend": None}
    for text in arguments.models:
        name, _, file = text.partition("=")
        networks[name] = FieldNetwork(load_export(Path(file)))
    rows = []
    for path in tqdm(videos_in(arguments.clips)[:: arguments.every_clip], unit="clip"):
        clip = read_clip(path, 256, frames=FRAMES)
        original, some = np.stack(list(clip.frames)), slice(EVERY // 2, None, EVERY)
        for qp in arguments.qps:
            data = stream_of(clip, arguments.streams / f"{path.stem}.{qp}.hvc", qp)
            for name, network in networks.items():
                frames = shown(data, network)
                rows.append({
                    "clip": path.stem, "qp": qp, "model": name, "bytes": len(data),
                    "psnr": psnr(original, frames).mean(),
                    "lpips_vgg": learned_metrics.lpips_vgg(original[some], frames[some]).mean(),
                    "dists": learned_metrics.dists(
                        original[some], frames[some], arguments.dists_weights
                    ).mean(),
                    "flicker": flicker(original, frames),
                })  # fmt: skip
        pd.DataFrame(rows).to_csv(arguments.out / "compare.csv", index=False, float_format="%.4f")
    means = pd.DataFrame(rows).drop(columns="clip").groupby(["qp", "model"], as_index=False).mean()
    means.to_csv(arguments.out / "summary.csv", index=False, float_format="%.4f")
    print(means.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
