"""`hvc body`: info, convert and render on random files and the open body."""

import json
from pathlib import Path

import numpy as np
import pytest
from body_files import random_model
from PIL import Image

from hvc_jax.body import poses, shade
from hvc_jax.cli import main as cli
from hvc_jax.data import clips


def test_info_of_the_open_body(capsys):
    assert cli.main(["body", "info"]) == 0
    text = capsys.readouterr().out
    assert "open_body: 6599 vertices" in text and "55 joints" in text and "left_hand" in text


def test_info_as_numbers(tmp_path, capsys):
    assert cli.main(["body", "info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["name"], facts["vertices"], facts["joints"]) == ("open_body", 6599, 55)
    assert "left_hand" in facts["parts"] and 1.4 < facts["height_m"] < 2
    np.savez(tmp_path / "b.npz", bodies=np.zeros((3, 188), np.float32), confidence=np.ones(3))
    assert cli.main(["body", "info", str(tmp_path / "b.npz"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["what"]


def test_convert_then_info(tmp_path, capsys):
    np.savez(tmp_path / "in.npz", **random_model("smplh", vertices=60))
    assert cli.main(["body", "convert", str(tmp_path / "in.npz"), str(tmp_path / "out.npz")]) == 0
    assert cli.main(["body", "info", str(tmp_path / "out.npz")]) == 0
    assert "smplh: 60 vertices, 500 triangles, 52 joints" in capsys.readouterr().out


def test_render_writes_a_picture_with_the_person_in_it(tmp_path):
    out = tmp_path / "p.png"
    arguments = ["body", "render", "--pose", "sitting", "--set", "head_yaw=30deg", "--size", "48"]
    assert cli.main([*arguments, "--map", "parts", "--out", str(out)]) == 0
    picture = np.asarray(Image.open(out))
    assert picture.shape == (48, 48, 3)
    colors = {tuple(c) for c in picture.reshape(-1, 3)}
    assert 5 <= len(colors) <= 13, "background and most parts, unmixed"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "nothing.npz"], "does not exist"),
        (["render", "--pose", "flying", "--out", "x.png"], "unknown pose 'flying'"),
        (["render", "--set", "head_jaw=1", "--out", "x.png"], "unknown body parameter"),
        (["render", "--set", "head", "--out", "x.png"], "cannot read the edit"),
        (["render", "--map", "x", "--out", "x.png"], "unknown picture"),
        (["render", "--size", "9999", "--out", "x.png"], "choose 8 to 4096"),
        (["convert", "a.pkl", "b.txt"], "name the output .npz"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["body", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_every_named_pose_exists_and_differs():
    vectors = [poses.pose_vector(name) for name in poses.POSES]
    assert len({v.tobytes() for v in vectors}) == len(vectors)


def test_color_wheel_is_white_at_rest_and_saturated_at_the_limit():
    motion = np.zeros((2, 2, 2))
    motion[0, 0] = [1, 0]
    colors = shade.color_wheel(motion)
    assert (colors[1, 1] == 255).all()
    assert tuple(colors[0, 0]) == (255, 0, 0)


def test_info_names_the_command_for_streams_videos_and_pictures(tmp_path, capsys):
    pictures = np.zeros((3, 64, 64, 3), np.uint8)
    clips.write_video(tmp_path / "a.mp4", pictures, 25)
    stream = tmp_path / "stream.bin"
    stream.write_bytes((Path(__file__).parent / "golden" / "hybrid.hvc").read_bytes())
    (tmp_path / "pictures").mkdir()
    for k in range(3):
        clips.write_png(tmp_path / "pictures" / f"{k}.png", pictures[k])
    for name, said in (
        ("a.mp4", "a video, 64x64, 25 frames/s, 3 frames; see hvc fit"),
        ("stream.bin", "an .hvc stream; see hvc inspect"),
        ("pictures", "pictures, 64x64"),
        ("pictures/1.png", "a picture, 64x64"),
    ):
        assert cli.main(["body", "info", str(tmp_path / name)]) == 0
        out = capsys.readouterr().out
        assert said in out and out.count("\n") == 1
    (tmp_path / "a.txt").write_text("notes")
    assert cli.main(["body", "info", str(tmp_path / "a.txt")]) == 2
    assert "a.txt is no body model" in capsys.readouterr().err
