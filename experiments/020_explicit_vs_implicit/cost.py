"""Says what both decoders cost a frame, and fails if they differ by more than a tenth.

python experiments/020_explicit_vs_implicit/cost.py
"""

import runpy
import sys
from pathlib import Path

from hvc_jax.models import count
from hvc_jax.training.config import load_config

AT_MOST = 0.1
TABLE = Path(__file__).with_name("sweep.py")


def costs(table: Path = TABLE) -> dict[str, float]:
    """Multiply-accumulates of a decoded frame by variant of a table of runs."""
    sweep = runpy.run_path(str(table))
    found = {}
    for variant, fields in sweep["VARIANTS"].items():
        overrides = [f"--config.{k}={value}" for k, value in fields.items() if k != "config"]
        config = load_config(fields["config"], overrides)
        found[variant] = sum(count.costs(config.model, config.data.size)[0]["synthesise"].values())
    return found


def main(table: Path = TABLE) -> int:
    """Prints the costs; 1 if they are too far apart."""
    found = costs(table)
    apart = max(found.values()) / min(found.values()) - 1
    for variant, cost in found.items():
        print(f"{variant}: {cost / 1e6:.1f} M multiply-accumulates a frame")
    print(f"{apart:.1%} apart, at most {AT_MOST:.0%} allowed")
    return int(apart > AT_MOST)


if __name__ == "__main__":
    sys.exit(main())
