"""Configuration files and the `--config...` options of the command line."""

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

_SHIPPED = Path(__file__).parents[1] / "configs"


def load_config(spec: str, overrides: Sequence[str] = ()) -> ConfigDict:
    """A configuration from its file, argument string and overrides.

    Args:
        spec: "PATH" or "PATH:ARGUMENT", as in "configs/semantic.py:size=tiny,res=128". A path
            that does not exist is looked up among the shipped configs by its file name.
        overrides: Items such as "--config.optim.lr=1e-4", parsed to the type of the field.

    Returns:
        The locked ConfigDict that the file's `get_config(argument)` gives, overridden.

    Raises:
        ValueError: No such file or field, or a value that does not fit the field.
    """
    text, _, argument = spec.partition(":")
    path = Path(text)
    if not path.is_file():
        path = _SHIPPED / path.name
        if not path.is_file():
            known = sorted(p.name for p in _SHIPPED.glob("*.py"))
            names = ", ".join(n for n in known if n not in ("base.py", "__init__.py"))
            raise ValueError(f"{text}: no such config file; shipped ones are {names}")
    module_spec = importlib.util.spec_from_file_location(f"hvc_config_{path.stem}", path)
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    if not hasattr(module, "get_config"):
        raise ValueError(f"{path}: has no get_config(argument); see configs/semantic.py")
    return override(module.get_config(argument or None), overrides)


def override(config: ConfigDict, overrides: Sequence[str]) -> ConfigDict:
    """The same object with fields set from "--config.a.b=value" items.

    Raises:
        ValueError: An unknown field or a value of another type.
    """
    if not overrides:
        return config
    values = flags.FlagValues()
    arguments = ["hvc", *overrides]
    try:
        config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=arguments)
        values(arguments)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"cannot apply {' '.join(overrides)}: {reason}") from None
    return config


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Adds `--config FILE[:ARGUMENT]` and any `--config.GROUP.FIELD=VALUE` to a parser.

    The parsed arguments get `config` (str) and `overrides` (list of str) for `load_config`.
    argparse knows only options named beforehand, so the parser's `parse_known_args`, which the
    parent parser calls too, takes the others out first.
    """
    parser.add_argument(
        "--config",
        required=True,
        metavar="FILE[:ARGUMENT]",
        help="a configuration, as configs/semantic.py:size=tiny,res=128; single fields are set "
        "by --config.GROUP.FIELD=VALUE",
    )
    plain = parser.parse_known_args

    def parse_known_args(args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        rest, overrides = split_overrides(sys.argv[1:] if args is None else args)
        parsed, unknown = plain(rest, namespace)
        parsed.overrides = overrides
        return parsed, unknown

    parser.parse_known_args = parse_known_args


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Arguments without, and only, the items "--config.a.b=value" or "--config.a.b value"."""
    rest: list[str] = []
    overrides: list[str] = []
    items = iter(arguments)
    for item in items:
        if not item.startswith("--config."):
            rest.append(item)
        elif "=" in item:
            overrides.append(item)
        else:
            value = next(items, None)
            if value is None:
                raise ValueError(f"{item}: a value is missing; write {item}=VALUE")
            overrides.append(f"{item}={value}")
    return rest, overrides
