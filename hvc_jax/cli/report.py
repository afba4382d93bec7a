"""`hvc report`: tables and plots from the CSV files of an evaluation."""

import argparse
import json
import sys
from pathlib import Path

DESCRIPTION = "Makes everything that follows from results.csv, and tables in Markdown files."
EXAMPLES = """\
examples:
  hvc report results/                  means.csv, bd_rate.csv, contents.csv, worst.csv, plots/,
                                       sheets/ and report.md
  hvc report README.md                 its tables anew, where they stand between markers
  hvc report --check README.md         changes nothing; exit status 1 where a table is stale
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    add = parser.add_argument
    add("path", type=Path, nargs="+", help="folders of hvc evaluate, and Markdown files")
    add("--plots", nargs="+", metavar="SCORE", help="plot these alone (default: all measured)")
    add("--check", action="store_true", help="only say which tables are stale")
    add("--json", action="store_true", help="print the rows of means.csv as a JSON list a folder")


def run(arguments: argparse.Namespace) -> int:
    """Writes the reports; with --check, 1 if a Markdown file is stale."""
    from hvc_jax.evaluation.markdown import refreshed
    from hvc_jax.evaluation.report import means_table, write_report

    stale = False
    for path in arguments.path:
        if path.suffix != ".md":
            if arguments.check:
                raise ValueError(f"{path}: --check takes Markdown files only")
            averages = write_report(path, arguments.plots)
            print(json.dumps(averages) if arguments.json else means_table(averages))
            continue
        text = refreshed(path)
        if text == path.read_text(encoding="utf-8"):
            continue
        stale = True
        if not arguments.check:
            path.write_text(text, encoding="utf-8")
        said = "is stale" if arguments.check else "tables made anew"
        print(f"{path}: {said}", file=sys.stderr if arguments.json else sys.stdout)
    return 1 if stale and arguments.check else 0
