"""`hvc count`: multiply-accumulates and parameters of a model, by module."""

import argparse
import json
from typing import Any

DESCRIPTION = "Counts multiply-accumulates and parameters by module."
EXAMPLES = """\
example:
  hvc count --config configs/semantic.py:size=base --side 384

Analysis runs for every frame in the encoder, the reference once for every key frame in the
decoder, synthesis for every frame in the decoder. Convolutions and matrix products are counted,
the rasteriser and element-wise work are not.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    add = parser.add_argument
    from hvc_jax.training.config import add_config_options

    add_config_options(parser)
    add("--side", type=int, default=384, help="of the picture, pixels")
    add("--depth", type=int, default=1, help="levels of modules to show (1)")
    add("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Prints the table."""
    from hvc_jax.training.config import load_config

    config = load_config(arguments.config, arguments.overrides)
    record = _record(config.model, arguments.side, arguments.depth)
    print(json.dumps(record, indent=2) if arguments.json else "\n".join(_table(record)))
    return 0


def _record(model_config: Any, side: int, depth: int) -> dict[str, Any]:
    """Multiply-accumulates and parameters as numbers."""
    from hvc_jax.models.count import costs, group, parameter_counts

    counts, params = costs(model_config, side)
    macs = {part: dict(sorted(group(modules, depth).items())) for part, modules in counts.items()}
    sizes = dict(sorted(group(parameter_counts(params), depth).items()))
    return {"side": side, "multiply_accumulates": macs, "parameters": sizes}


def _table(record: dict[str, Any]) -> list[str]:
    """The lines of the table of a record."""
    titles = {
        "analyse": "analyse, encoder, every frame",
        "reference": "reference, decoder, every key frame",
        "synthesise": "synthesise, decoder, every frame",
    }
    lines = [f"{record['side']}x{record['side']} pixels{'GMAC':>40}"]
    for part, title in titles.items():
        counts = record["multiply_accumulates"][part]
        lines.append(f"{title:<44}{sum(counts.values()) / 1e9:>9.3f}")
        lines += [f"  {path or '(no module)':<42}{n / 1e9:>9.3f}" for path, n in counts.items()]
    sizes = record["parameters"]
    lines.append(f"{'parameters':<44}{sum(sizes.values()):>9,}")
    return lines + [f"  {path:<42}{count:>9,}" for path, count in sizes.items()]
