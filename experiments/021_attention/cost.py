"""Says what the decoders cost a frame, and fails if they differ by more than a tenth.

python experiments/021_attention/cost.py
"""

import runpy
import sys
from pathlib import Path

SHARED = Path(__file__).parents[1] / "020_explicit_vs_implicit" / "cost.py"


if __name__ == "__main__":
    shared = runpy.run_path(str(SHARED))
    sys.exit(shared["main"](Path(__file__).with_name("sweep.py")))
