"""Configuration files and the `--config...` options of the command line."""

import argparse
import difflib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

_GUESSES = {"lambda": "lmbda", "learning_rate": "lr", "steps": "total_steps", "batch": "batch_size"}
"""Names of the literature for fields that are called otherwise here."""

_SHIPPED = Path(__file__).parents[1] / "configs"


def load_config(spec: str, overrides: Sequence[str] = ()) -> ConfigDict:
    """The locked ConfigDict that the file's `get_config(argument)` gives, overridden.

    `spec`: "PATH" or "PATH:ARGUMENT", as in "configs/semantic.py:size=tiny,res=128". A path that
    does not exist is looked up among the shipped configs by its file name. `overrides`: items such
    as "--config.optim.lr=1e-4", parsed to the type of the field. Raises ValueError: No such file or
    field, or a value that does not fit the field.
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
    """The object with fields set from "--config.a.b=value" items; else ValueError."""
    if not overrides:
        return config
    for item in overrides:
        _check_field(config, item)
    values = flags.FlagValues()
    arguments = ["hvc", *overrides]
    try:
        config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=arguments)
        values(arguments)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"cannot apply {' '.join(overrides)}: {reason}") from None
    return config


def _check_field(config: ConfigDict, item: str) -> None:
    """Raises ValueError where "--config.a.b=value" names no field; near names are proposed."""
    name = item.partition("=")[0].removeprefix("--config.")
    fields = list(_fields(config))
    if name in fields or not item.startswith("--config.") or "[" in name:
        return
    groups = {field.rpartition(".")[0] for field in fields}
    if name in groups:
        return  # config_flags says what is wrong with a group
    leaf = _GUESSES.get(name.rpartition(".")[2], name.rpartition(".")[2])
    same = [field for field in fields if field.rpartition(".")[2] == leaf]
    near = same or difflib.get_close_matches(name, fields, n=3)
    hint = f"did you mean {', '.join(near[:3])}?" if near else "see hvc_jax/configs/base.py"
    raise ValueError(f"--config.{name}: there is no such field; {hint}")


def _fields(config: ConfigDict, prefix: str = "") -> Iterator[str]:
    """Dotted names of all fields."""
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            yield from _fields(value, f"{prefix}{name}.")
        else:
            yield prefix + name


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
        help="a configuration, as configs/semantic.py:size=tiny,res=128; it is a Python program "
        "and is run. Single fields are set by --config.GROUP.FIELD=VALUE",
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
