"""`hvc call`: a video call with one packet a frame, both ends on this machine."""

import argparse
import contextlib
import json
import time
import webbrowser
from pathlib import Path

from hvc_jax.cli.options import add_page_options

DESCRIPTION = """\
Sends the person in a video or before a camera over a UDP socket to a receiver on this
machine, one packet a frame, and shows both ends on a page."""
EXAMPLES = """\
examples:
  hvc call clip.mp4                            a page with both ends; stop with ^C
  hvc call /dev/video0                         the same with a camera
  hvc call clip.mp4 --avatar somebody.png      shows somebody else, moved as the person moves
  hvc call clip.mp4 --receiver-avatar somebody.png --record heard.wav
  hvc call clip.mp4 --no-page --seconds 10 --json --loss 10

The page needs pip install viser.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    add = parser.add_argument
    add("source", help="video file, which repeats, or a camera, as /dev/video0")
    add(
        "--variant", choices=("semantic", "keypoint"), default="keypoint",
        help="what a frame costs: a token, or parameters of a body (keypoint)",
    )  # fmt: skip
    add("--size", type=int, default=256, help="side in pixels (256)")
    add("--key-qp", type=int, default=32, help="of key pictures, 0 to 63 (32)")
    add(
        "--avatar", type=Path, metavar="PICTURE",
        help="the sender's choice of who is shown; its own picture is never sent then",
    )  # fmt: skip
    add(
        "--receiver-avatar", type=Path, metavar="PICTURE",
        help="the receiver's choice; no picture is asked for then, and none is sent",
    )  # fmt: skip
    add("--record", type=Path, metavar="WAV", help="write the sound that the receiver hears")
    add("--audio-kbps", type=float, default=8.0, help="of the sound of a file, 0 for none (8)")
    add("--loss", type=float, default=0.0, help="per cent of packets, 0 to 20 (0)")
    add("--jitter", type=float, default=0.0, help="milliseconds, 0 to 200 (0)")
    add("--model", type=Path, help="model file (default: the one that is shipped)")
    add_page_options(parser, 8090)
    add("--no-page", action="store_true", help="only measure")
    add("--seconds", type=float, help="end so long after the first picture (default: never)")
    add("--json", action="store_true", help="print the figures as JSON at the end")


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
    from hvc_jax.ops.files import atomic_path, check_output

    check_side("--size", arguments.size)
    record = arguments.record
    if record is not None:
        check_output(record, inputs=(arguments.source,), suffixes=(".wav",))

    avatars = [
        None if path is None else read_clip(path, arguments.size, frames=1).frames[0]
        for path in (arguments.avatar, arguments.receiver_avatar)
    ]
    keep_compiled_programs()
    codec = codec_of_variant(arguments.variant, arguments.model)
    with contextlib.ExitStack() as stack:
        call = Call(
            codec,
            arguments.source,
            arguments.size,
            qp=arguments.key_qp,
            avatar=avatars[0],
            receiver_avatar=avatars[1],
            record=None if record is None else stack.enter_context(atomic_path(record)),
            audio_kbps=arguments.audio_kbps,
        )
        call.network(arguments.loss / 100, arguments.jitter / 1000)
        if not arguments.no_page:
            from hvc_jax.studio.call_page import CallPage
            from hvc_jax.studio.web import is_loopback

            page = CallPage(call, arguments.host, arguments.port)
            stack.callback(page.stop)
            print(f"{arguments.source}: {page.url}   (stop with ^C)", flush=True)
            if not is_loopback(arguments.host):
                print(f"--host {arguments.host}: everybody who reaches this machine can watch")
            if arguments.browse:
                webbrowser.open(page.url)
        stack.callback(call.stop)
        call.start()
        left = arguments.seconds or float("inf")
        with contextlib.suppress(KeyboardInterrupt):  # the usual end
            while left > 0:
                time.sleep(0.1)
                call.check()
                left -= 0.1 if call.receiver.frames else 0.0
        figures = call.figures()
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
