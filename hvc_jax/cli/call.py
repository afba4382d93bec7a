"""`hvc call`: a video call with one packet a frame, both ends on this machine."""

import argparse
import json
import time
import webbrowser
from pathlib import Path

_EXAMPLE = """\
examples:
  hvc call clip.mp4                            a page with both ends; stop with ^C
  hvc call /dev/video0                         the same with a camera
  hvc call clip.mp4 --avatar somebody.png      shows somebody else, moved as the person moves
  hvc call clip.mp4 --no-page --seconds 10 --json --loss 10

The page needs pip install 'hvc_jax[studio]'.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the parser of this command."""
    parser = subparsers.add_parser(
        "call",
        description="Sends the person in a video or before a camera over a UDP socket to a "
        "receiver on this machine, one packet a frame, and shows both ends on a page.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", help="video file, which repeats, or a camera, as /dev/video0")
    parser.add_argument(
        "--variant", choices=("semantic", "keypoint"), default="keypoint",
        help="what a frame costs: a token, or parameters of a body (keypoint)",
    )  # fmt: skip
    parser.add_argument("--size", type=int, default=256, help="side in pixels (256)")
    parser.add_argument("--key-qp", type=int, default=32, help="of key pictures, 0 to 63 (32)")
    parser.add_argument(
        "--avatar", type=Path, metavar="PICTURE",
        help="picture of the person who is shown; the sender's own is never sent then",
    )  # fmt: skip
    parser.add_argument(
        "--audio-kbps", type=float, default=8.0, help="of the sound of a file, 0 for none (8)"
    )
    parser.add_argument("--loss", type=float, default=0.0, help="per cent of packets, 0 to 20 (0)")
    parser.add_argument("--jitter", type=float, default=0.0, help="milliseconds, 0 to 200 (0)")
    parser.add_argument("--model", type=Path, help="model file (default: the one that is shipped)")
    parser.add_argument("--port", type=int, default=8090, help="of the page, or the next free one")
    parser.add_argument("--host", default="127.0.0.1", help="address of the page (127.0.0.1)")
    parser.add_argument("--browse", action="store_true", help="open it in the default browser")
    parser.add_argument("--no-page", action="store_true", help="only measure")
    parser.add_argument(
        "--seconds", type=float, help="end so long after the first picture (default: never)"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON at the end")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Calls until it is interrupted or the time is over."""
    if not 0 <= arguments.loss <= 20:
        raise ValueError(f"--loss {arguments.loss:g}: give 0 to 20 per cent")
    if not 0 <= arguments.jitter <= 200:
        raise ValueError(f"--jitter {arguments.jitter:g}: give 0 to 200 ms")
    if not 0 <= arguments.key_qp <= 63:
        raise ValueError(f"--key-qp {arguments.key_qp}: give 0 (finest) to 63")
    if arguments.audio_kbps and not 6 <= arguments.audio_kbps <= 256:
        raise ValueError(f"--audio-kbps {arguments.audio_kbps:g}: give 6 to 256, or 0 for none")

    from hvc_jax.call.call import Call
    from hvc_jax.codec.load import codec_of_variant
    from hvc_jax.codec.options import check_side
    from hvc_jax.data.clips import read_clip
    from hvc_jax.ops.compile import keep_compiled_programs

    check_side("--size", arguments.size)
    avatar = None
    if arguments.avatar is not None:
        avatar = read_clip(arguments.avatar, arguments.size, frames=1).frames[0]
    keep_compiled_programs()
    codec = codec_of_variant(arguments.variant, arguments.model)
    call = Call(
        codec, arguments.source, arguments.size, qp=arguments.key_qp, avatar=avatar,
        audio_kbps=arguments.audio_kbps,
    )  # fmt: skip
    call.network(arguments.loss / 100, arguments.jitter / 1000)
    page = None
    if not arguments.no_page:
        from hvc_jax.studio.call_page import CallPage

        page = CallPage(call, arguments.host, arguments.port)
        print(f"{arguments.source}: {page.url}   (stop with ^C)", flush=True)
        if arguments.browse:
            webbrowser.open(page.url)
    call.start()
    left = arguments.seconds or float("inf")
    try:
        while left > 0:
            time.sleep(0.1)
            call.check()
            left -= 0.1 if call.receiver.frames else 0.0
    finally:
        figures = call.figures()
        call.stop()
        if page is not None:
            page.stop()
    if arguments.json:
        print(json.dumps(figures._asdict()))
    else:
        print(
            f"{figures.drawn} of {figures.sent} frames drawn, {figures.lost} lost; "
            f"{figures.frames_per_second:.1f} frames/s, {figures.picture_kbps:.1f} kbps of "
            f"pictures and {figures.sound_kbps:.1f} of sound; latency {figures.latency_ms:.0f} ms "
            f"median, {figures.late_ms:.0f} p95"
        )
    return 0
