"""Keypoints as programs really write them: frames that are missing, other units, many layouts."""

import json
import time

import numpy as np
import pytest

from hvc_jax.body.keypoint_files import KeypointFileError, describe, load_keypoints
from hvc_jax.body.keypoint_layouts import LAYOUTS
from hvc_jax.body.keypoint_names import NAMES, order_of, plain
from hvc_jax.body.parameter_cameras import View

VIEW = View(320, 240)
FRAMES = 20
OPENPOSE, BLAZEPOSE = list(LAYOUTS[25].coco), list(LAYOUTS[33].coco)


@pytest.fixture
def pixels():
    """[T, 17, 3]: one person inside the centre crop who moves, x and y, confidence."""
    rng = np.random.default_rng(1)
    shape = rng.uniform([0, 0], [60, 150], (17, 2))
    points = shape + np.stack([60 + 5 * np.arange(FRAMES), np.full(FRAMES, 40)], -1)[:, None]
    return np.concatenate([points, rng.uniform(0.3, 1, (FRAMES, 17, 1))], -1)


def _check(path, pixels, frames, **options):
    """Asserts that exactly `frames` have the person's points; returns the notes."""
    found = load_keypoints(path, VIEW, FRAMES, **options)
    expected = (2 * pixels[..., :2] + 1 - [320, 240]) / 240
    seen = np.flatnonzero(found.confidence.any(1))
    assert seen.tolist() == list(frames)
    np.testing.assert_allclose(found.points[seen], expected[seen], atol=1e-5)
    np.testing.assert_allclose(found.confidence[seen], pixels[seen, :, 2], atol=1e-6)
    return found.notes


def _coco(name, pixels, frames):
    return [
        {"image_id": name(t), "category_id": 1, "keypoints": pixels[t].ravel().tolist()}
        for t in frames
    ]


GAPS = [0, 1, 2, 6, 7, 8, 15, 16, 17, 18]


@pytest.mark.parametrize(
    "name",
    [
        lambda t: t, str, lambda t: f"{t}.jpg", lambda t: f"clip2_{t:06d}.png",
        lambda t: f"run/frame{t}_v3.jpg", lambda t: f"frame.{t:04d}", lambda t: float(t),
        lambda t: f"vis_{t:012d}_rendered.png",
    ],
)  # fmt: skip
def test_rows_belong_to_the_frames_that_they_name(tmp_path, pixels, name):
    for frames in (GAPS, range(8, FRAMES), [3], range(5, 9)):
        path = tmp_path / "results.json"
        path.write_text(json.dumps(_coco(name, pixels, frames)[::-1]))
        _check(path, pixels, frames)


def test_numbers_that_are_none_of_the_clip(tmp_path, pixels):
    path = tmp_path / "results.json"
    for name in (lambda t: t + 1, lambda t: f"{t + 1:06d}.jpg", lambda t: 1000 + t):
        path.write_text(json.dumps(_coco(name, pixels, range(FRAMES))))
        _check(path, pixels, range(FRAMES))
    files = {t: 139 + 4000 * t for t in range(FRAMES)}  # ids of files, in the frames' order
    path.write_text(json.dumps(_coco(files.get, pixels, range(FRAMES))))
    _check(path, pixels, range(FRAMES))
    images = [{"id": 900 - 7 * t} for t in range(FRAMES)]
    rows = _coco(lambda t: 900 - 7 * t, pixels, GAPS)
    path.write_text(json.dumps({"images": images, "annotations": rows}))
    _check(path, pixels, GAPS)
    path.write_text(json.dumps(_coco(lambda t: 3 * t, pixels, range(FRAMES))))
    with pytest.raises(KeypointFileError, match="names frame 57, the clip has 20"):
        load_keypoints(path, VIEW, FRAMES)
    # The first frames of a clip keep their places.
    path.write_text(json.dumps(_coco(lambda t: t, pixels, range(8, FRAMES))))
    found = load_keypoints(path, VIEW, 12, total=FRAMES)
    assert np.flatnonzero(found.confidence.any(1)).tolist() == [8, 9, 10, 11]
    rows = [{"image_id": k, "keypoints": [1.0] * 51} for k in (0, 10**300)]
    path.write_text(json.dumps(rows))
    with pytest.raises(KeypointFileError):
        load_keypoints(path, VIEW, 1)


def _openpose(folder, pixels, frames, change=lambda points: points):
    folder.mkdir()
    for t in frames:
        full = np.zeros((25, 3))
        full[OPENPOSE] = pixels[t]
        full[OPENPOSE, :2] = change(pixels[t, :, :2])
        people = [{"person_id": [-1], "pose_keypoints_2d": full.ravel().tolist()}]
        (folder / f"clip_{t:012d}_keypoints.json").write_text(json.dumps({"people": people}))


@pytest.mark.parametrize("frames", [GAPS, range(8, FRAMES)])
def test_openpose_folders_in_every_unit(tmp_path, pixels, frames):
    size = np.array([320, 240])
    scales = {
        "pixels": lambda p: p,
        "fractions": lambda p: (p + 0.5) / size,
        "signed": lambda p: 2 * (p + 0.5) / size - 1,
    }
    for name, change in scales.items():
        _openpose(tmp_path / name, pixels, frames, change)
        notes = _check(tmp_path / name, pixels, frames)
        assert bool(notes) == (name != "pixels")


def test_other_files_in_a_folder(tmp_path, pixels):
    _openpose(tmp_path / "a", pixels, GAPS)
    (tmp_path / "a" / "meta.json").write_text('{"fps": 25}')
    (tmp_path / "a" / "camera.json").write_text("not json")
    assert "2 .json" in _check(tmp_path / "a", pixels, GAPS)[0]
    (tmp_path / "b").mkdir()
    for t in GAPS:
        person = [
            {"keypoints": pixels[t, :, :2].tolist(), "keypoint_scores": pixels[t, :, 2].tolist()}
        ]
        (tmp_path / "b" / f"{t:06d}.json").write_text(json.dumps(person))
    (tmp_path / "b" / "settings.json").write_text('{"fps": 25}')
    assert "1 .json" in _check(tmp_path / "b", pixels, GAPS)[0]
    (tmp_path / "b" / "broken.json").write_text("{")
    with pytest.raises(KeypointFileError, match="broken.json.*take it out"):
        load_keypoints(tmp_path / "b", VIEW, FRAMES)


def _full(pixels, count):
    """[T, count, 3]: the 17 points at their places in a layout, elsewhere points at random."""
    out = np.random.default_rng(2).uniform(60, 200, (len(pixels), count, 3))
    out[:, list(LAYOUTS[count].coco)] = pixels
    return out


@pytest.mark.parametrize("count", [17, 18, 25, 26, 133, 136, 308])
def test_every_layout_in_every_json(tmp_path, pixels, count):
    full = _full(pixels, count)
    split = [{"keypoints": f[:, :2].tolist(), "keypoint_scores": f[:, 2].tolist()} for f in full]
    flat = [f.ravel().tolist() for f in full]
    files = {
        "mmpose": {
            "meta_info": {},
            "instance_info": [
                {"frame_id": t + 1, "instances": [split[t]] if t in GAPS else []}
                for t in range(FRAMES)
            ],
        },
        "coco": [{"image_id": t, "keypoints": flat[t], "score": 1.0} for t in GAPS],
        "by_name": {f"{t}.jpg": {"people": [{"pose_keypoints_2d": flat[t]}]} for t in GAPS},
        "frames": {"frames": [{"frame": t, "keypoints": full[t].tolist()} for t in GAPS]},
        "vitpose": {
            "keypoints": [
                {"0": full[t][:, [1, 0, 2]].tolist()} if t in GAPS else {} for t in range(FRAMES)
            ],
            "skeleton": {},
        },
        "transformers": [
            [{"keypoints": full[t][:, :2].tolist(), "scores": full[t][:, 2].tolist()}]
            if t in GAPS
            else []
            for t in range(FRAMES)
        ],
        "ultralytics": [
            [{"name": "person", "confidence": 0.9, "track_id": 3,
              "keypoints": dict(zip(("x", "y", "visible"), full[t].T.tolist(), strict=True))}]
            if t in GAPS else []
            for t in range(FRAMES)
        ],
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text("\ufeff" + json.dumps(content), encoding="utf-8")
        _check(tmp_path / f"{name}.json", pixels, GAPS)
    assert LAYOUTS[count].name in describe(tmp_path / "coco.json")


def _blaze(pixels):
    full = np.full((FRAMES, 33, 4), 0.5)
    full[:, BLAZEPOSE, :2] = (pixels[..., :2] + 0.5) / [320, 240]
    full[:, BLAZEPOSE, 3] = pixels[..., 2]
    return full


def test_mediapipe_json_of_solutions_and_tasks(tmp_path, pixels):
    keys = ("x", "y", "z", "visibility")
    marks = [[dict(zip(keys, p, strict=True)) for p in frame] for frame in _blaze(pixels).tolist()]
    world = [[{"x": 0.0, "y": 0.0, "z": 0.0, "visibility": 1.0}] * 33]
    files = {
        "tasks": [
            {"landmarks": [marks[t]] if t in GAPS else [], "worldLandmarks": world}
            for t in range(FRAMES)
        ],
        "python": {
            "frames": [
                {"frame": t, "pose_landmarks": [marks[t]], "pose_world_landmarks": world}
                for t in GAPS
            ]
        },
        "proto": {str(t): {"pose_landmarks": {"landmark": marks[t]}} for t in GAPS},
        "times": [{"timestamp_ms": 40 * t, "landmarks": [marks[t]]} for t in GAPS],
        "solutions": [marks[t] if t in GAPS else None for t in range(FRAMES)],
    }
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
        _check(tmp_path / f"{name}.json", pixels, GAPS, fps=25.0)


HEADERS = {
    "plain": [f"{k}{i}" for i in range(33) for k in "xyzv"],
    "under": [f"{k}_{i}" for i in range(33) for k in ("x", "y", "z", "visibility")],
    "behind": [f"{i}_{k}" for i in range(33) for k in ("x", "y", "z", "visibility")],
    "names": [f"mark {i}_{k}" for i in range(33) for k in ("X", "Y", "Z", "Visibility")],
}


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("tail", ["", ",", ",,"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_tables(tmp_path, pixels, header, tail, mark):
    rows = _blaze(pixels)
    lines = ["frame," + ",".join(HEADERS[header]) + tail]
    lines += [f"{t}," + ",".join(f"{x:.7f}" for x in rows[t].ravel()) + tail for t in GAPS]
    path = tmp_path / "marks.csv"
    path.write_text(mark + "\n".join(lines), encoding="utf-8")
    _check(path, pixels, GAPS)
    path.write_text(mark + "\n".join(lines[1:]), encoding="utf-8")  # without names
    _check(path, pixels, GAPS)
    path.write_text("\n".join(lines), encoding="utf-16")
    _check(path, pixels, GAPS)
    path.write_text((mark + "\n".join(lines)).replace(",", ";").replace(".", ","), encoding="utf-8")
    _check(path, pixels, GAPS)


def test_tables_with_other_columns_a_row_a_point_or_pixels(tmp_path, pixels):
    rows, path = _blaze(pixels), tmp_path / "marks.csv"
    lines = ["video,frame_id,score," + ",".join(HEADERS["names"]) + ",label"]
    lines += [f"a.mp4,{t},0.5," + ",".join(map(str, rows[t].ravel())) + ",run" for t in GAPS]
    path.write_text("\n".join(lines))
    _check(path, pixels, GAPS)
    lines = ["frame,landmark,x,y,z,visibility"]
    lines += [f"{t},{k}," + ",".join(map(str, rows[t, k])) for t in GAPS for k in range(33)]
    path.write_text("\n".join(lines))
    _check(path, pixels, GAPS)
    rows[..., :2] *= [320, 240]
    lines = ["frame," + ",".join(HEADERS["plain"])]
    lines += [f"{t}," + ",".join(map(str, rows[t].ravel())) for t in GAPS]
    path.write_text("\n".join(lines))
    assert "pixels" in _check(path, pixels, GAPS)[0]


def test_tables_that_number_rows_in_other_ways(tmp_path, pixels):
    rows, path = _blaze(pixels), tmp_path / "marks.csv"
    for first, value in (
        ("", str),  # the index of pandas
        ("Frame #", str),
        ("time", lambda t: t / 25),
        ("timestamp (ms)", lambda t: 40 * t),
        ("timestamp", lambda t: 40_000 * t),
    ):
        lines = [f"{first}," + ",".join(HEADERS["plain"])]
        lines += [f"{value(t)}," + ",".join(map(str, rows[t].ravel())) for t in GAPS]
        path.write_text("\n".join(lines))
        _check(path, pixels, GAPS, fps=25.0)
    far = rows.copy()
    far[..., :2] = 0.9 + 0.02 * (far[..., :2] - 0.5)  # somebody small in a corner
    lines = ["frame,person_id," + ",".join(HEADERS["plain"])]
    for t in GAPS:
        for track, points in ((4, far), (2, rows)):
            lines.append(f"{t},{track}," + ",".join(map(str, points[t].ravel())))
    path.write_text("\n".join(lines))
    _check(path, pixels, GAPS)
    _check(path, pixels, GAPS, person=2)
    other = load_keypoints(path, VIEW, FRAMES, person=4)
    assert not np.allclose(other.points[0], load_keypoints(path, VIEW, FRAMES).points[0])


def test_points_of_another_picture_are_refused(tmp_path, pixels):
    path = tmp_path / "k.json"
    pixels[..., :2] += 1000
    path.write_text(json.dumps(_coco(str, pixels, GAPS)))
    with pytest.raises(KeypointFileError, match="k.json.*320x240.*pixels"):
        load_keypoints(path, VIEW, FRAMES)


def test_the_main_person_or_the_one_that_is_asked_for(tmp_path, pixels):
    small = pixels.copy()
    small[..., :2] = (small[..., :2] - small[..., :2].mean(1, keepdims=True)) * 0.3 + [190, 60]
    path = tmp_path / "two.json"

    def write(tracks, big=range(4, FRAMES), little=range(FRAMES)):
        rows = []
        for t in range(FRAMES):
            pair = ((small, little, 7), (pixels, big, 3))
            for points, frames, track in pair[:: 1 if t % 2 else -1]:  # in changing order
                if t in frames:
                    rows.append({"image_id": t, "keypoints": points[t].ravel().tolist()})
                    if tracks:
                        rows[-1]["track_id"] = track
        path.write_text(json.dumps(rows))

    for tracks in (False, True):
        write(tracks)
        _check(path, pixels, range(4, FRAMES))
    _check(path, small, range(FRAMES), person=7)
    with pytest.raises(KeypointFileError, match=r"no person 5; choose one of tracks \[3, 7\]"):
        load_keypoints(path, VIEW, FRAMES, person=5)
    write(False)
    _check(path, small, range(FRAMES), person=0)  # first in the first frame


def test_lists_of_pictures_say_which_frame_an_id_means(tmp_path, pixels):
    path = tmp_path / "coco.json"
    for listed in (range(FRAMES), reversed(range(FRAMES)), GAPS):
        images = [{"id": 7 * t + 3, "file_name": f"clip/f{t:03d}.jpg"} for t in listed]
        rows = _coco(lambda t: 7 * t + 3, pixels, GAPS)
        path.write_text(json.dumps({"images": images, "annotations": rows}))
        _check(path, pixels, GAPS)


def test_numbers_of_people_in_every_spelling(tmp_path, pixels):
    small = pixels.copy()
    small[..., :2] = (small[..., :2] - small[..., :2].mean(1, keepdims=True)) * 0.3 + [190, 60]
    path = tmp_path / "two.json"
    for name, spelt in (("idx", float), ("person_id", lambda k: [k]), ("track_id", int)):
        rows = [
            {"image_id": t, "keypoints": points[t].ravel().tolist(), name: spelt(k)}
            for t in range(FRAMES)
            for k, points in ((2, pixels), (5, small))
        ]
        path.write_text(json.dumps(rows))
        _check(path, small, range(FRAMES), person=5)


@pytest.mark.parametrize("first", [0, 1])
def test_json_lines_of_frames_with_and_without_people(tmp_path, pixels, first):
    path = tmp_path / "pifpaf.json"
    lines = []
    for t in range(FRAMES):
        people = [{"keypoints": pixels[t].ravel().tolist(), "score": 0.9}] if t in GAPS else []
        lines.append(json.dumps({"frame": t + first, "predictions": people}))
    path.write_text("\n".join(lines) + "\n")
    _check(path, pixels, GAPS)


def test_points_of_a_larger_picture_are_remarked(tmp_path, pixels):
    pixels[..., :2] *= 2
    path = tmp_path / "k.json"
    path.write_text(json.dumps(_coco(str, pixels, GAPS)))
    assert "lie outside the picture of 320x240" in load_keypoints(path, VIEW, FRAMES).notes[0]


SPELLINGS = (
    lambda side, part: f"{side}_{part}", lambda side, part: f"{side.title()} {part.title()}",
    lambda side, part: f"{side[0].upper()}{part.title()}", lambda side, part: f"{part}_{side}",
    lambda side, part: side + part.title(),
)  # fmt: skip
PARTS = "eye ear shoulder elbow wrist hip knee ankle".split()


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_names_in_every_spelling(spelling):
    names = ["nose", *(spelling(side, part) for part in PARTS for side in ("left", "right"))]
    assert tuple(plain(name) for name in names) == NAMES[17]
    assert order_of(names[::-1]) == list(range(16, -1, -1))


def test_points_are_told_by_their_names_and_numbers(tmp_path, pixels):
    names, other = list(NAMES[17]), np.random.default_rng(0).permutation(17)
    path = tmp_path / "named.json"

    def points(t, **more):
        return [
            dict(zip(("x", "y", "score"), pixels[t, k], strict=True))
            | {n: f(k) for n, f in more.items()}
            for k in other
        ]  # fmt: skip

    flat = [pixels[t][other].ravel().tolist() for t in range(FRAMES)]
    categories = [{"id": 1, "keypoints": [names[k] for k in other]}]
    for content in (
        [{"frame": t, "keypoints": points(t, name=lambda k: names[k])} for t in GAPS],
        [{"frame": t, "keypoints": points(t, part=lambda k: names[k])} for t in GAPS],
        [{"frame": t, "keypoints": points(t, id=int)} for t in GAPS],
        [{"frame": t, "keypoints": points(t, id=lambda k: int(k) + 1)} for t in GAPS],
        [{"frame": t, "keypoints": {names[k]: pixels[t, k].tolist() for k in other}} for t in GAPS],
        [{"frame": t, "keypoints": dict(zip([names[k] for k in other], points(t), strict=True))}
         for t in GAPS],
        {"categories": categories,
         "annotations": [{"image_id": t, "keypoints": flat[t]} for t in GAPS]},
    ):  # fmt: skip
        path.write_text(json.dumps(content))
        _check(path, pixels, GAPS)
    joints = ["hip", "rhip", "rknee", "rankle", "lhip", "lknee", "lankle", "spine", "thorax"]
    joints += ["neck", "head", "lshoulder", "lelbow", "lwrist", "rshoulder", "relbow", "rwrist"]
    named = [{"name": name, "x": 1, "y": 2} for name in joints]  # Human3.6M has 17 joints as well
    path.write_text(json.dumps([{"frame": 0, "keypoints": named}]))
    with pytest.raises(KeypointFileError, match="not COCO's.*thorax"):
        load_keypoints(path, VIEW, FRAMES)


@pytest.mark.parametrize("layout", [17, 33])
def test_columns_and_rows_are_told_by_their_names(tmp_path, pixels, layout):
    rows = _blaze(pixels) if layout == 33 else pixels
    kinds = ("x", "y", "z", "visibility") if layout == 33 else ("x", "y", "score")
    other, path = np.random.default_rng(1).permutation(layout), tmp_path / "a.csv"
    names = NAMES[layout]
    lines = ["frame," + ",".join(f"{names[k]}_{kind}" for k in other for kind in kinds)]
    lines += [f"{t}," + ",".join(map(str, rows[t][other].ravel())) for t in GAPS]
    path.write_text("# of a program\n" + "\n".join(lines))
    _check(path, pixels, GAPS)
    for label in (names.__getitem__, int, lambda k: int(k) + 1):
        lines = ["frame,keypoint," + ",".join(kinds)]
        lines += [f"{t},{label(k)}," + ",".join(map(str, rows[t, k])) for t in GAPS for k in other]
        path.write_text("sep=,\n" + "\n".join(lines))
        _check(path, pixels, GAPS)


def test_points_of_a_picture_of_another_size_are_scaled(tmp_path, pixels):
    half = pixels.copy()
    half[..., :2] = (half[..., :2] + 0.5) / 2 - 0.5
    flat = [p.ravel().tolist() for p in half]
    path = tmp_path / "half.json"

    def contents(width, height):
        size = {"canvas_width": width, "canvas_height": height}
        people = [[{"pose_keypoints_2d": flat[t]}] if t in GAPS else [] for t in range(FRAMES)]
        images = [{"id": t, "width": width, "height": height} for t in range(FRAMES)]
        rows = [{"image_id": t, "keypoints": flat[t]} for t in GAPS]
        return [{"people": p} | size for p in people], {"images": images, "annotations": rows}

    for content in contents(160, 120):
        path.write_text(json.dumps(content))
        assert "160x120 are scaled" in _check(path, pixels, GAPS)[0]
    for content in contents(100, 100):
        path.write_text(json.dumps(content))
        with pytest.raises(KeypointFileError, match="another clip"):
            load_keypoints(path, VIEW, FRAMES)


def test_arrays_with_frame_numbers_scores_and_one_person(tmp_path, pixels):
    np.savez(tmp_path / "a.npz", keypoints=pixels[GAPS], frames=np.array(GAPS))
    _check(tmp_path / "a.npz", pixels, GAPS)
    for shape in ((1, FRAMES, 17, 2), (FRAMES, 1, 17, 2), (FRAMES, 17, 2)):
        np.savez(
            tmp_path / "b.npz",
            keypoints=pixels[..., :2].reshape(shape),
            scores=pixels[..., 2].reshape(shape[:-1]),
        )
        _check(tmp_path / "b.npz", pixels, range(FRAMES))


def test_points_that_are_null_and_older_names_of_fields(tmp_path, pixels):
    lost = pixels.copy()
    lost[:, 3] = [-1, -1, 0]
    path = tmp_path / "a.json"
    for make in (lambda t: lost[t].tolist(), lambda t: lost[t].ravel().tolist()):
        rows = [{"frame": t, "track_id": "7", "keypoints": make(t)} for t in GAPS]
        path.write_text(json.dumps(rows).replace("-1.0", "null"))
        found = load_keypoints(path, VIEW, FRAMES, person=7)
        np.testing.assert_allclose(found.confidence[GAPS], lost[GAPS, :, 2], atol=1e-6)
    people = [{"people": [{"pose_keypoints": pixels[t].ravel().tolist()}]} for t in range(FRAMES)]
    path.write_text(json.dumps(people))  # OpenPose 1.0
    _check(path, pixels, range(FRAMES))
    path.write_text(json.dumps([{"people": [{"body": flat}]} for flat in ([1, 2], [3, 4])]))
    with pytest.raises(KeypointFileError, match="people with 'body'"):
        load_keypoints(path, VIEW, FRAMES)


@pytest.mark.parametrize(
    "text",
    [
        "[[[[[[]]]]]]",
        "", "[]", "{}", "null", "[null]", "7", '"a"', "[" * 100_000, '{"a":' * 100_000,
        '[{"image_id": 0, "keypoints": [1e400, 2]}]', '[{"image_id": 0, "keypoints": ["a"]}]',
        '[{"image_id": {}, "keypoints": 5}]', '{"images": 5, "annotations": 5}',
        json.dumps([{"image_id": 0, "keypoints": [10**400] * 51}]),
        json.dumps([{"image_id": 10**400, "keypoints": [1] * 51}]),
        '[{"x": 1}]', '[{"x": [1], "y": 2, "keypoints": {"x": [1], "y": [[1]]}}]',
        '{"instance_info": [{"frame_id": 1, "instances": [{"keypoints": [[1, 2], [3]]}]}]}',
        '{"fps": 25}',
    ],
)  # fmt: skip
def test_other_json_is_one_line(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    try:
        found = load_keypoints(tmp_path / "a.json", VIEW, FRAMES)
    except KeypointFileError as error:
        assert "a.json" in str(error) and "\n" not in str(error) and len(str(error)) < 500
    else:
        assert not found.confidence.any()


def test_long_files_are_read_in_time_and_endless_cells_are_one_line(tmp_path):
    path = tmp_path / "long.json"
    rows = [{"image_id": k, "keypoints": [1.0 + k % 99] * 51} for k in range(6_000)]
    path.write_text(json.dumps(rows))
    started = time.process_time()
    assert "6000 frames" in describe(path)
    for row in rows:  # names without numbers
        row["image_id"] = "".join(chr(97 + int(c)) for c in str(row["image_id"]))
    path.write_text(json.dumps(rows))
    load_keypoints(path, VIEW, 6_000)
    assert time.process_time() - started < 15  # 2 s; quadratic it was ten times that
    (tmp_path / "cell.csv").write_text('frame,"' + "a" * 300_000 + '"\n1,2\n')
    with pytest.raises(KeypointFileError, match="cell.csv.*field larger"):
        load_keypoints(tmp_path / "cell.csv", VIEW, FRAMES)
