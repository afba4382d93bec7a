"""`hvc completion`: what a shell needs to complete commands and options, made by shtab."""

import argparse

DESCRIPTION = "Prints the completion script of a shell."
EXAMPLES = """\
examples:
  hvc completion bash > ~/.local/share/bash-completion/completions/hvc
  hvc completion zsh > ~/.zfunc/_hvc      (with fpath+=~/.zfunc before compinit)
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this command."""
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"))


def run(arguments: argparse.Namespace) -> int:
    """Prints the script."""
    import shtab

    from hvc_jax.cli.main import COMMANDS, build_parser

    parser = build_parser(*COMMANDS)
    for command in _commands(parser):
        for action in command._actions:
            wants_file = "path" in str(action.type).lower() or action.dest in ("output", "input")
            if wants_file and action.choices is None:
                action.complete = shtab.FILE
    print(shtab.complete(parser, arguments.shell))
    return 0


def _commands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """A parser and all below it; those without a line of help get one, else shtab skips them."""
    found = [parser]
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            continue
        helped = {one.dest for one in action._choices_actions}
        for name, inner in action.choices.items():
            if name not in helped:
                line = (inner.description or name).partition(". ")[0]
                action._choices_actions.append(action._ChoicesPseudoAction(name, (), line))
            found += _commands(inner)
    return found
