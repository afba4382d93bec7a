"""`hvc studio`: a page on which the person in a stream is changed while one watches."""

import argparse
import time
import webbrowser
from pathlib import Path

from hvc_jax.cli.options import add_page_options

DESCRIPTION = """\
Shows a stream on a page with its frames, its posed mesh and a control for every parameter
that is sent; what is changed there is what hvc edit does."""
EXAMPLES = """\
examples:
  hvc studio clip.hvc
  hvc studio clip.hvc --source clip.mp4 --port 9000
  hvc studio clip.mp4                          is encoded first
  ssh -L 8080:127.0.0.1:8080 -L 8081:127.0.0.1:8081 far
                                               then open http://127.0.0.1:8080 here

Needs pip install viser. The port after the page's takes files that are dropped
on it. Files are read from and written to one folder only, by
default that of the stream. Every browser window has its own edits.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    add = parser.add_argument
    add("input", type=Path, help="stream, or a video that is encoded first")
    add("--source", type=Path, metavar="CLIP", help="what the stream was made from")
    add("--folder", type=Path, help="what may be read and written (default: that of the stream)")
    add_page_options(parser, 8080)
    add(
        "--most-upload",
        type=int,
        default=64,
        metavar="MIB",
        help="largest file from a browser (64)",
    )
    add("--model", type=Path, help="model file (default: found by its id)")


def run(arguments: argparse.Namespace) -> int:
    """Serves the page until it is interrupted."""
    from hvc_jax.data.clips import read_clip
    from hvc_jax.ops.compile import keep_compiled_programs
    from hvc_jax.studio.folder import CLIP_SUFFIXES, Folder
    from hvc_jax.studio.server import Studio
    from hvc_jax.studio.web import is_loopback

    path = arguments.input
    if not 1 <= arguments.port <= 65535:
        raise ValueError(f"--port {arguments.port}: use 1024 to 65535")
    if not 1 <= arguments.most_upload <= 4096:
        raise ValueError(f"--most-upload {arguments.most_upload}: use 1 to 4096 MiB")
    folder = Folder(arguments.folder or path.parent, arguments.model, arguments.most_upload << 20)
    keep_compiled_programs()
    if path.suffix.lower() in CLIP_SUFFIXES:
        print(f"encoding {path}", flush=True)
        path = folder.encode(path)
    header = folder.open(path).player.header
    source = None
    if arguments.source is not None:
        source = read_clip(
            arguments.source, (header.height, header.width), header.fit.replace("none", "crop")
        ).frames
    studio = Studio(folder, path, source, arguments.host, arguments.port)
    try:
        print(f"{path}: {studio.url}   (stop with ^C)", flush=True)
        if not is_loopback(arguments.host):
            print(
                f"--host {arguments.host}: everybody who reaches this machine can read and write "
                f"{folder.path}; there is no password",
                flush=True,
            )
        if arguments.browse:
            webbrowser.open(studio.url)
        while True:
            time.sleep(3600)
    finally:
        studio.stop()
