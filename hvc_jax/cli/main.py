"""The `hvc` program: finds the command's module, runs it, turns errors into one plain line.

Only the module of the command that was called is imported, so that `hvc inspect` and `hvc edit`
start without jax. A command module has the texts DESCRIPTION and EXAMPLES of its --help,
`add_options(parser)`, and `run`, a function of the parsed arguments that returns an exit status or
None; where it has actions instead, each sets a default `run` of its own.
"""

import argparse
import importlib
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Sequence

from hvc_jax import __version__
from hvc_jax.cli.text import printable

# name: (module under hvc_jax.cli, one line for the overview)
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "render or read a clip, code it with every variant, edit it, compare"),
    "encode": ("encode", "a video file to a .hvc stream"),
    "decode": ("decode", "a .hvc stream to a video file or a folder of PNG frames"),
    "inspect": ("inspect", "units, bytes, rates and parameters of a stream"),
    "edit": ("edit", "change the parameters inside a stream, leaving its key frames alone"),
    "play": ("play", "show a stream in a window or in the browser"),
    "models": ("models", "the models that are shipped and found, with size, training, scores"),
    "warmup": ("warmup", "compile what encode and decode need, so that they start at once"),
    "studio": ("studio", "a page that changes the person in a stream while one watches"),
    "call": ("call", "a video call over UDP, both ends on this machine, on a page"),
    "evaluate": ("evaluate", "code a folder of clips and measure what was decoded back"),
    "report": ("report", "tables and plots from the CSV files of an evaluation"),
    "train": ("train", "train a model"),
    "sweep": ("sweep", "train every run of an experiment, here or on SLURM"),
    "export": ("export", "turn a checkpoint into a model file that the codec opens"),
    "count": ("count", "multiply-accumulates and parameters of a model, by module"),
    "data": ("data", "build datasets from videos and from synthetic people"),
    "body": ("body", "convert, describe and render body models"),
    "fit": ("fit", "estimate the body parameters of a clip"),
    "completion": ("completion", "the script with which a shell completes commands and options"),
}

_DASHED = re.compile(r"-(?!-)[^=]*\.[A-Za-z]\w*/?")
"""A name such as -clip.mp4: no option has a dot, no number a letter behind it."""

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

_OVERVIEW = """\
examples:
  hvc demo
  hvc encode in.mp4 out.hvc
  hvc edit out.hvc turned.hvc --set head_yaw+=20deg
  hvc decode turned.hvc turned.mp4

`hvc COMMAND --help` shows the options of a command, with an example.
"""


def _overview() -> str:
    """The text of `hvc --help`: every command with its line, without importing any."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {line}" for name, (_, line) in COMMANDS.items()]
    return "usage: hvc COMMAND ...\n\ncommands:\n" + "\n".join(lines) + "\n\n" + _OVERVIEW


def build_parser(*commands: str) -> argparse.ArgumentParser:
    """The parser of the program with these commands in it.

    `commands`: Keys of `COMMANDS`; only their modules are imported.

    Returns a parser whose parsed arguments have `run`, the function to call with them.
    """
    parser = argparse.ArgumentParser(prog="hvc", allow_abbrev=False)
    subparsers = parser.add_subparsers(dest="command", required=True)
    for command in commands:
        name, line = COMMANDS[command]
        module = importlib.import_module(f"hvc_jax.cli.{name}")
        added = subparsers.add_parser(
            command,
            help=line,
            description=module.DESCRIPTION,
            epilog=module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(run=getattr(module, "run", None))
        module.add_options(added)
    return parser


def _is_user_error(error: Exception) -> bool:
    """True for errors that tell the user what to change; others are bugs and keep the traceback.

    Ours are the error classes of this package, the operating system's, ValueError (which every
    module raises with one plain sentence for a bad argument) and a missing optional package.
    """
    if isinstance(error, ModuleNotFoundError):
        return not (error.name or "hvc_jax").startswith("hvc_jax")
    ours = type(error).__module__.startswith("hvc_jax")
    return ours or isinstance(error, OSError | ValueError)


def plain_message(error: Exception) -> str:
    """One line that says what went wrong, from an exception's text."""
    if isinstance(error, OSError) and error.strerror:
        named = f"{error.filename}: " if error.filename else ""
        text = f"{named}{error.strerror}"
        fixes = {
            "FileNotFoundError": "check the path",
            "PermissionError": "check the permissions",
            "IsADirectoryError": "name a file, not a folder",
        }
        fix = fixes.get(type(error).__name__)
        if error.errno == 28:  # ENOSPC
            fix = "free some space or write to another disk"
        text += f"; {fix}" if fix else ""
    else:
        text = str(error) or type(error).__name__
    return printable(" ".join(text.split()))


def _with_names(argv: list[str]) -> list[str]:
    """Returns words with ./ before names of files that begin with a dash, which are no options."""
    end = argv.index("--") if "--" in argv else len(argv)
    return [f"./{w}" if _DASHED.fullmatch(w) else w for w in argv[:end]] + argv[end:]


def _catch_signals() -> None:
    """Lets SIGTERM and SIGHUP end the program as ^C does, unless they are ignored (nohup)."""
    if threading.current_thread() is not threading.main_thread():
        return
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _stop)


def _stop(signal_number: int, frame: object) -> None:
    """Ends the program by an exception, so that temporary files are removed as after ^C."""
    raise Terminated(signal_number)


class Terminated(BaseException):
    """The process was asked to end (SIGTERM, SIGHUP)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    `argv`: Arguments without the program's name; None means those of the process.

    Returns 0 on success, 2 for bad input or usage (one line on stderr says what and the fix), 130
    after ^C, 143 after SIGTERM. HVC_DEBUG=1 in the environment shows the traceback as well.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_overview(), end="")
        return 0
    if argv[0] == "--version":
        print(f"hvc {__version__}")
        return 0
    if argv[0] not in COMMANDS:
        known = ", ".join(COMMANDS)
        print(f"hvc: error: no command {argv[0]!r}; use one of {known}", file=sys.stderr)
        return EXIT_USAGE
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names need not be text, nor the terminal UTF-8
            stream.reconfigure(errors="backslashreplace")
    # The compiler's remarks on its own speed are no errors of ours; errors are raised.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _catch_signals()
    try:
        arguments = build_parser(argv[0]).parse_args(_with_names(argv))
        status = arguments.run(arguments)
        sys.stdout.flush()
        return int(status or 0)
    except KeyboardInterrupt:
        print("hvc: stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Terminated as stop:
        print("hvc: stopped", file=sys.stderr)
        return 128 + stop.args[0]
    except BrokenPipeError:  # the reader of our output (head, less) went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if not _is_user_error(error) or os.environ.get("HVC_DEBUG"):
            raise
        print(f"hvc: error: {plain_message(error)}", file=sys.stderr)
        return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
