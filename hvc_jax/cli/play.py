"""`hvc play`: shows a stream, in a window of ffplay where that is installed, else in a browser."""

import argparse
import functools
import html
import http.server
import re
import shutil
import subprocess
import tempfile
import webbrowser
from pathlib import Path

from hvc_jax.cli.options import add_memory_option, keep_programs

DESCRIPTION = "Decodes a stream and shows it."
EXAMPLES = """\
examples:
  hvc play out.hvc
  hvc play out.hvc --browser        in the web browser; ends with ^C
"""

_PAGE = """<!doctype html><meta charset="utf-8"><title>{name}</title>
<style>body{{background:#222;color:#ddd;font-family:sans-serif;text-align:center}}
video{{max-width:95vw;max-height:85vh;image-rendering:auto}}</style>
<p>{name}</p><video src="clip.mp4" controls autoplay loop muted></video>"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    add = parser.add_argument
    add("input", type=Path, help="stream, or - for a pipe")
    add("--browser", action="store_true", help="in the browser, not in ffplay")
    add("--no-open", action="store_true", help="print the address, open no browser (and no ffplay)")
    add("--port", type=int, default=0, help="of the page (default: a free one)")
    add("--model", type=Path, help="model file (default: found by its id)")
    add_memory_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Decodes to a temporary file, shows it, and removes it at the end."""
    from hvc_jax.codec.load import codec_of_stream
    from hvc_jax.data.video_output import write_video
    from hvc_jax.models.find import open_stream
    from hvc_jax.ops.progress import progress
    from hvc_jax.stream.sound import SoundQueue

    keep_programs()
    with tempfile.TemporaryDirectory(prefix="hvc-play-") as folder:
        clip = Path(folder) / "clip.mp4"
        with open_stream(arguments.input, keep_sound=True) as reader:
            header = reader.header
            codec = codec_of_stream(header, arguments.input, arguments.model, arguments.max_memory)
            frames = progress(codec.decode(reader), header.frame_count)
            write_video(clip, frames, header.fps, sound=SoundQueue(reader.sound))
        ffplay = shutil.which("ffplay")
        if ffplay and not arguments.browser and not arguments.no_open:
            command = [ffplay, "-loglevel", "error", "-loop", "0", f"file:{clip}"]
            return subprocess.run(command).returncode
        page = _PAGE.format(name=html.escape(str(arguments.input)))
        (Path(folder) / "index.html").write_text(page, encoding="utf-8", errors="replace")
        with serve(Path(folder), arguments.port) as server:
            address = f"http://127.0.0.1:{server.server_address[1]}/"
            print(f"{arguments.input}: look at {address}; ^C ends", flush=True)
            if not arguments.no_open:
                webbrowser.open(address)
            server.serve_forever()
    return 0


def serve(folder: Path, port: int = 0) -> http.server.ThreadingHTTPServer:
    """Returns a server of the files of a folder, for this machine only."""
    handler = functools.partial(_Ranges, directory=str(folder))
    return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)


class _Ranges(http.server.SimpleHTTPRequestHandler):
    """Files, in parts where a part is asked for: some browsers play no video otherwise."""

    def do_GET(self) -> None:
        """Answers one request."""
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if match is None or not path.is_file():
            super().do_GET()
            return
        data = path.read_bytes()
        first, last = int(match[1]), int(match[2] or len(data) - 1)
        if first >= len(data):
            self.send_error(416)
            return
        part = data[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""
