"""`hvc models`: the models that streams can be coded with. Imports no jax."""

import argparse
import json
from typing import Any

from hvc_jax.evaluation.table import text_table
from hvc_jax.models.export import PRETRAINED, Export, known_exports
from hvc_jax.models.find import measured_scores

DESCRIPTION = "Lists the models that are shipped and those in the folders of HVC_MODELS."
EXAMPLES = """\
examples:
  hvc models
  HVC_MODELS=runs/a:runs/b hvc models --json

Further models are found in the folders of HVC_MODELS. A stream names its model by the id.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    parser.add_argument("--json", action="store_true", help="print a JSON list")


def run(arguments: argparse.Namespace) -> int:
    """Prints the table."""
    scores = measured_scores()
    rows = [_row(export, scores) for export in known_exports()]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return 0
    shown = [{k: v for k, v in row.items() if k != "scores"} for row in rows]
    print(text_table(shown))
    for row in rows:
        if row["scores"]:
            text = ", ".join(f"{name} {value}" for name, value in row["scores"].items())
            print(f"\n{row['name']}: {text}")
    return 0


def _row(export: Export, scores: dict[str, Any]) -> dict[str, Any]:
    fields, shipped = export.config_fields, export.path.parent == PRETRAINED
    loss, data = fields.get("loss", {}), fields.get("data", {})
    trained = (
        f"{fields.get('total_steps', '?')} steps of {fields.get('batch_size', '?')} at "
        f"{data.get('size', '?')} px, lmbda {loss.get('lmbda', '?')}, {data.get('path', '?')}"
    )
    return {
        "name": export.path.stem if shipped else str(export.path),
        "variant": export.variant,
        "id": export.model_id.hex(),
        "MB": export.path.stat().st_size / 1e6,
        "trained": trained,
        "scores": scores.get(export.model_id.hex()),
        "licence": "Apache-2.0 (NOTICE)" if shipped else "as its owner says",
    }
