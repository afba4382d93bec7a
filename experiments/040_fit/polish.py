"""Analysis by synthesis: bytes and PSNR of whole streams that were decoded back, by effort.

    python experiments/040_fit/polish.py CLIPS --names 016 020 ... [--variants semantic implicit]

Appends to polish.csv beside it and goes on where it stopped.
"""

import argparse
import csv
import io
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
from rows import append_row

from hvc_jax.codec.codec import Codec
from hvc_jax.codec.options import EncodeOptions
from hvc_jax.data.clips import read_clip
from hvc_jax.models.export import load_export
from hvc_jax.ops.compile import keep_compiled_programs
from hvc_jax.stream.container import StreamReader, UnitType

TABLE = Path(__file__).parent / "polish.csv"
FIELDS = "clip variant effort key_qp quantiser frames bytes motion_bytes psnr seconds".split()
# Effort, key QP, quantiser of the parameters.
POINTS = ((1, 22, 64), (1, 27, 64), (1, 32, 64), (1, 42, 64), (2, 32, 64), (2, 42, 64))


def main() -> None:
    """Codes what is not in the table yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--names", nargs="*", default=[""], help="beginnings of file names")
    parser.add_argument("--variants", nargs="*", default=["semantic"])
    parser.add_argument("--efforts", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--frames", type=int, default=32)
    settings = parser.parse_args()
    keep_compiled_programs()
    points = [point for point in POINTS if point[0] in settings.efforts]
    points += [(3, 32, 64)] if 3 in settings.efforts else []
    done = set()
    if TABLE.exists():
        rows = list(csv.DictReader(TABLE.open()))
        done = {tuple(row[k] for k in FIELDS[:5]) for row in rows}
    paths = sorted(p for n in settings.names for p in settings.clips.glob(f"{n}*.mp4"))
    for variant in settings.variants:
        codec = Codec(load_export(variant))
        for path in paths:
            frames = read_clip(path, frames=settings.frames).frames
            for effort, key_qp, quantiser in points:
                name = (path.stem, variant, str(effort), str(key_qp), str(quantiser))
                if name in done:
                    continue
                out = io.BytesIO()
                options = EncodeOptions(key_qp=key_qp, quantiser=quantiser, effort=effort)
                begin = time.process_time()
                codec.encode(iter(frames), out, fps=Fraction(25), options=options)
                seconds = (time.process_time() - begin) / len(frames)
                out.seek(0)
                made = np.stack(list(codec.decode(out)))
                error = np.square(frames.astype(np.float32) - made).mean((1, 2, 3))
                psnr = float(np.mean(10 * np.log10(255**2 / np.maximum(error, 1e-3))))
                out.seek(0)
                units = StreamReader(out).units()
                motion = sum(unit.size for unit in units if unit.type == UnitType.MOTION)
                values = (*name, len(frames), len(out.getvalue()), motion)
                row = dict(zip(FIELDS, (*values, f"{psnr:.3f}", f"{seconds:.3g}"), strict=True))
                append_row(TABLE, FIELDS, row)
                print(row, flush=True)


if __name__ == "__main__":
    main()
