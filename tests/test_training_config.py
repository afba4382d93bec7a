import argparse
from pathlib import Path

import pytest

from hvc_jax.training.config import add_config_options, load_config, split_overrides


def leaves(config: dict, prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in config.items():
        path = f"{prefix}{name}"
        flat |= leaves(value, path + ".") if hasattr(value, "items") else {path: value}
    return flat


@pytest.mark.parametrize("size", ["tiny", "small", "base"])
def test_variants_differ_in_motion_and_its_past_only(size: str) -> None:
    one, other = (
        leaves(load_config(f"configs/{name}.py:size={size}")) for name in ("semantic", "keypoint")
    )
    differing = {k for k in one.keys() | other.keys() if one.get(k) != other.get(k)}
    assert differing
    assert all(name.startswith("model.motion.") or name == "model.past" for name in differing)


def test_argument_string() -> None:
    config = load_config("configs/semantic.py:size=base,res=384,lmbda=0.5,data=a:3,b:1")
    assert (config.data.size, config.loss.lmbda) == (384, 0.5)
    assert config.data.path == "a:3,b:1"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("configs/semantic.py:widht=3", "no config argument 'widht'"),
        ("configs/semantic.py:res=big", "give a int"),
        ("configs/semantic.py:size=huge", "no model size 'huge'"),
        ("configs/nothing.py", "shipped ones are field.py, implicit.py, keypoint.py, semantic.py"),
    ],
)
def test_bad_specs_say_what_there_is(spec: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        load_config(spec)


def test_overrides_take_the_type_of_the_field() -> None:
    config = load_config(
        "semantic.py", ["--config.optim.lr=1e-3", "--config.total_steps=7", "--config.loss.l1=2"]
    )
    assert config.optim.lr == 1e-3 and config.total_steps == 7
    assert isinstance(config.loss.l1, float)


@pytest.mark.parametrize("item", ["--config.optim.rate=1", "--config.total_steps=many"])
def test_bad_overrides_name_themselves(item: str) -> None:
    with pytest.raises(ValueError, match=item.split("=")[0]) as caught:
        load_config("semantic.py", [item])
    assert "\n" not in str(caught.value)


def test_overrides_pass_through_a_subparser() -> None:
    parser = argparse.ArgumentParser()
    subparser = parser.add_subparsers().add_parser("train")
    add_config_options(subparser)
    subparser.add_argument("--workdir", type=Path)
    line = "train --config c.py:a=1 --config.x.y=2 --workdir w --config.z 3"
    parsed = parser.parse_args(line.split())
    assert parsed.config == "c.py:a=1" and parsed.workdir == Path("w")
    assert parsed.overrides == ["--config.x.y=2", "--config.z=3"]
    with pytest.raises(SystemExit):
        parser.parse_args([*line.split(), "--unknown"])


def test_override_without_a_value() -> None:
    with pytest.raises(ValueError, match="--config.z=VALUE"):
        split_overrides(["--config.z"])


def test_config_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from hvc_jax.configs import semantic\n"
        "def get_config(argument=None):\n"
        "    config = semantic.get_config(argument)\n"
        "    config.total_steps = 5\n"
        "    return config\n"
    )
    assert load_config(f"{path}:res=64").total_steps == 5


def test_names_that_people_guess_lead_to_the_field() -> None:
    for wrong, right in (("loss.lambda=2", "loss.lmbda"), ("optim.learning_rate=1", "optim.lr")):
        with pytest.raises(ValueError, match=f"did you mean .*{right}"):
            load_config("semantic.py", [f"--config.{wrong}"])
