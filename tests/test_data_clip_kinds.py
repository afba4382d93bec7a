"""Kinds of files that people bring: each is read as a player shows it, or refused in one line."""

import itertools
import subprocess
from fractions import Fraction

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from hvc_jax.data import clips
from hvc_jax.data.display import turned
from hvc_jax.data.timing import lasting, resampled, timing_of
from hvc_jax.data.tone_mapping import HLG, PQ, compress, light_to_pq, pq_to_light, tone_map
from hvc_jax.ops import ffmpeg

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


def _ffmpeg(*arguments):
    command = [FFMPEG, "-y", "-loglevel", "error", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def _source(seconds=1.0, rate=25, size="96x64"):
    return ("-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}")


def _as_ffmpeg(path, *filters):
    info = clips.probe(path)
    raw = _ffmpeg("-i", f"file:{path}", *filters, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    return np.frombuffer(raw, np.uint8).reshape(-1, info.height, info.width, 3)


def _read(path, **options):
    info, frames = clips.open_clip(path, size=None, **options)
    return info, np.stack(list(frames))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp("base") / "base.mp4"
    _ffmpeg(*_source(), *X264, path)
    return path


@pytest.mark.parametrize("layout", ["yuv444p", "yuvj420p", "gray", "gray10le", "gbrp10le", "bgra"])
def test_pixel_formats_are_read_as_ffmpeg_reads_them(tmp_path, layout):
    path = tmp_path / "a.mkv"
    _ffmpeg(*_source(0.2, size="95x63"), "-pix_fmt", layout, "-c:v", "ffv1", path)
    assert np.abs(_read(path)[1].astype(int) - _as_ffmpeg(path)).max() <= 1


@pytest.mark.parametrize("matrix", ["bt709", "smpte170m", "bt2020nc"])
@pytest.mark.parametrize("span", ["tv", "pc"])
def test_matrices_and_ranges_give_the_colours_back(tmp_path, matrix, span):
    path = tmp_path / "a.mp4"
    colours = "scale=out_color_matrix={}:out_range={},format=yuv444p".format(
        "bt2020" if matrix == "bt2020nc" else matrix, span
    )
    flags = ("-colorspace", matrix, "-color_range", span, "-qp", 0, "-pix_fmt", "yuv444p")
    source = ("-f", "lavfi", "-i", "color=0x3060c0:size=64x64:rate=25:duration=0.2")
    _ffmpeg(*source, "-vf", colours, *X264[:4], *flags, path)
    assert np.abs(_read(path)[1].astype(int) - [0x30, 0x60, 0xC0]).max() <= 2


@pytest.mark.parametrize("flips", ["", "h", "v", "hv"])
@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_the_whole_display_matrix_is_applied(tmp_path, base, flips, angle):
    path = tmp_path / "a.mp4"
    marks = ["-display_rotation", angle, *(f"-display_{flip}flip" for flip in flips)]
    _ffmpeg(*marks, "-i", base, "-c", "copy", path)
    np.testing.assert_array_equal(_read(path)[1], _as_ffmpeg(path))


def test_any_angle_turns_around_the_centre():
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[20:28, 40:48] = 255
    angle = np.radians(30)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    rows, columns = np.nonzero(turned(picture, matrix)[..., 0] > 128)
    centre = np.array([columns.mean(), rows.mean()]) + 0.5 - 32
    np.testing.assert_allclose(centre, (np.array([44.0, 24.0]) - 32) @ matrix, atol=0.3)
    back = turned(turned(picture, matrix), np.linalg.inv(matrix))
    assert np.abs(back.astype(int) - picture).mean() < 2


def test_pixels_that_are_not_square_are_stretched(tmp_path):
    path = tmp_path / "a.mp4"
    _ffmpeg(*_source(0.2, size="64x128"), "-vf", "setsar=2/1", *X264, path)
    info, frames = _read(path)
    assert (info.width, info.height) == (128, 128) and frames.shape[1:3] == (128, 128)
    assert any("2:1" in note for note in info.notes)


def test_a_clip_trimmed_by_stream_copy_is_what_its_edit_list_shows(tmp_path):
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    _ffmpeg(*_source(2), *X264, "-g", 12, whole)
    _ffmpeg("-ss", 0.8, "-i", whole, "-t", 0.8, "-c", "copy", cut)
    info, frames = _read(cut)
    assert len(frames) == info.frames == 20 and info.fps == 25
    np.testing.assert_array_equal(frames, _read(whole)[1][20:40])


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm"])
def test_variable_rate_is_kept_in_time(tmp_path, suffix):
    path = tmp_path / f"vfr.{suffix}"
    times = "setpts='if(lt(N,25),N*0.04,1+(N-25)*0.2)/TB'"
    codec = X264 if suffix != "webm" else ("-c:v", "libvpx-vp9", "-crf", 10)
    _ffmpeg(*_source(2), "-vf", times, "-fps_mode", "vfr", *codec, path)
    stored = np.frombuffer(
        _ffmpeg("-i", path, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"),
        np.uint8,
    ).reshape(-1, 64, 96, 3)
    info, frames = _read(path)
    assert info.fps == 25 and "variable rate" in info.notes[0]
    assert abs(len(frames) - 5.84 * 25) <= 1
    for second, number in ((0.9, 22), (2.9, 34)):
        np.testing.assert_array_equal(frames[int(second * 25)], stored[number])
    assert abs(_read(path, fps=Fraction(10))[1].shape[0] - 58.4) <= 1


def test_times_that_only_shake_are_constant_and_dropped_frames_stay_gaps():
    rng = np.random.default_rng(0)
    shaken = np.arange(200) / 30 + rng.uniform(0, 0.01, 200)
    assert timing_of(sorted(shaken), Fraction(30)).constant
    ticks = np.round(np.arange(200) * 1001 / 30000, 3)  # milliseconds of Matroska
    assert timing_of(ticks, None, tick=0.001) == (Fraction(30000, 1001), True, "")
    dropped = [t / 30 for t in range(120) if t % 10 != 7]
    timing = timing_of(dropped, Fraction(27))
    assert (timing.fps, timing.constant) == (30, False)
    shown = list(resampled(((t, 1 / 30, round(t * 30)) for t in dropped), timing.fps))
    assert shown == [t - (t % 10 == 7) for t in range(120)]
    fast = np.arange(50) / 2000
    assert timing_of(fast, Fraction(2000)).fps == 2000
    assert timing_of([], Fraction(90000)).fps == 25
    assert timing_of([], Fraction(19001, 317)).fps == Fraction(60000, 1001)
    assert timing_of([], Fraction(1000, 33)).fps == Fraction(1000, 33)


def test_a_clock_that_jumps_makes_no_pause():
    times = [0, 0.1, 0.2, 5000, 5000.1, 0.3, 0.4]
    assert list(resampled(zip(times, [0.1] * 7, "abcdefg", strict=True), Fraction(10))) == [
        *"abcdefg"
    ]
    assert len(list(resampled(((None, 0, i) for i in range(9)), Fraction(7)))) == 9


def test_two_frames_at_one_time_are_both_shown():
    def frames(times, last=0.04):
        lasts = [0.04] * (len(times) - 1) + [last]
        return list(resampled(zip(times, lasts, range(len(times)), strict=True), Fraction(25)))

    # The second edit of a list begins a frame early where pictures are reordered.
    assert frames([0, 0.04, 0.08, 0.08, 0.12, 0.16]) == [0, 1, 2, 3, 4, 5]
    assert frames([0, 0.04, 0.04, 0.08, 0.24, 0.28]) == [0, 1, 2, 3, 3, 3, 4, 5]  # in time again
    assert frames([0, 0.04, 0.12], 1e-5) == [0, 1, 1, 2]  # a last frame of no length
    assert frames([0, 0.04, 0.2], 0.002) == [0, 1, 1, 1, 1, 2]
    fast = ((t / 60, 1 / 60, t) for t in range(60))
    assert len(list(resampled(fast, Fraction(25)))) == 25


@pytest.mark.parametrize("kind", ["h264", "hevc"])
def test_coded_streams_have_the_rate_that_they_name(tmp_path, kind):
    codec = {"h264": X264, "hevc": ("-c:v", "libx265", "-x265-params", "log-level=none")}[kind]
    for rate in (Fraction(30000, 1001), Fraction(50)):
        _ffmpeg(*_source(0.5, rate=rate), *codec, tmp_path / f"a.{kind}")
        assert _read(tmp_path / f"a.{kind}")[0].fps == rate


def test_no_frame_of_an_animation_is_displaced(tmp_path):
    pictures = [Image.fromarray(np.full((40, 40, 3), 40 * i, np.uint8)) for i in range(6)]
    delays = [30, 70, 100, 40, 500, 30]
    path = tmp_path / "a.gif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=delays)
    info, frames = _read(path)
    assert np.unique(np.rint(frames[:, 5, 5, 0] / 40)).tolist() == [0, 1, 2, 3, 4, 5]
    assert abs(len(frames) / info.fps - 0.77) <= 1 / info.fps


def test_matroska_that_begins_late_is_whole(tmp_path):
    path = tmp_path / "a.mkv"
    _ffmpeg("-copyts", *_source(1), "-output_ts_offset", 10, *X264, path)
    assert len(_read(path)[1]) == 25


def test_flash_video_that_begins_late_is_whole(tmp_path):
    path = tmp_path / "a.flv"
    times = "setpts='(if(lt(N,4),N,19+N)*0.1+0.2)/TB'"
    _ffmpeg(*_source(0.8, rate=10), "-vf", times, "-fps_mode", "vfr", *X264, path)
    assert abs(len(_read(path)[1]) - 27) <= 1


def test_times_in_disorder_lengthen_nothing(tmp_path):
    times = [0, 0.04, 0.16, 0.12, 0.08, 0.2, 0.24]
    frames = zip(times, [0.04] * 7, range(7), strict=True)
    assert len(list(resampled(frames, Fraction(25)))) == 7
    assert lasting([0, 0.1, 5000, 5000.1], Fraction(10)) == 4
    path, copied = tmp_path / "a.mp4", tmp_path / "a.avi"
    _ffmpeg(*_source(1), "-c:v", "libx264", "-bf", 3, "-pix_fmt", "yuv420p", path)
    _ffmpeg("-i", path, "-c", "copy", copied)  # AVI has times of decoding alone
    assert abs(len(_read(copied)[1]) - 25) <= 2


def test_the_default_track_is_taken_and_never_a_cover(tmp_path, base):
    small, cover, path = tmp_path / "s.mp4", tmp_path / "c.jpg", tmp_path / "a.mkv"
    _ffmpeg(*_source(1, size="32x32"), *X264, small)
    _ffmpeg(*_source(1, size="512x512"), "-frames:v", 1, "-update", 1, cover)
    maps = ("-map", 0, "-map", 1, "-c", "copy", "-disposition:v:0", 0)
    _ffmpeg("-i", small, "-i", base, *maps, "-disposition:v:1", "default", path)
    assert _read(path)[1].shape == (25, 64, 96, 3)
    _ffmpeg("-i", cover, "-i", base, "-map", 0, "-map", 1, "-c", "copy", path)
    assert _read(path)[1].shape == (25, 64, 96, 3)
    still = tmp_path / "still.mp4"
    _ffmpeg("-i", base, "-frames:v", 1, *X264, still)
    _ffmpeg("-i", still, "-i", base, "-map", 0, "-map", 1, "-c", "copy", path)
    assert len(_read(path)[1]) == 25
    only = tmp_path / "only.mp4"
    sound = ("-f", "lavfi", "-i", "sine=duration=1")
    marks = ("-map", 0, "-map", 1, "-c:v", "copy", "-disposition:v:0", "attached_pic")
    _ffmpeg("-i", cover, *sound, *marks, only)
    with pytest.raises(clips.ClipError, match="only a cover picture"):
        clips.probe(only)


def test_tone_mapping_is_the_identity_in_the_dark_and_ends_at_the_display():
    light = np.array([0.0, 0.1, 1.0, 10.0, 27.0])
    np.testing.assert_allclose(compress(light), light, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(compress(np.array([1000.0, 9000.0])), 100, rtol=1e-6)
    assert (np.diff(compress(np.linspace(0, 1000, 500))) > 0).all()
    np.testing.assert_allclose(
        pq_to_light(light_to_pq(np.array([0.01, 5.0, 800.0]))), [0.01, 5, 800]
    )
    assert abs(float(light_to_pq(np.array(100.0))) - 0.508) < 1e-3  # BT.2408: 51 %
    grey = np.full((2, 2, 3), 0.5 * 65535, np.uint16)
    for transfer in (PQ, HLG):
        made = tone_map(grey, transfer)
        assert np.ptp(made) <= 1 and 80 < made.mean() < 250


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_hdr_comes_near_its_standard_original(tmp_path, transfer):
    path, plain = tmp_path / "hdr.mkv", tmp_path / "plain.mkv"
    graded = (
        "zscale=tin=bt709:min=bt709:pin=bt709:rin=limited:"
        f"t={transfer}:p=bt2020:m=bt2020nc:npl=100,format=yuv420p10le"
    )
    dim = "lutrgb=r=val*0.6:g=val*0.5:b=val*0.45,format=yuv420p,setparams=colorspace=bt709"
    _ffmpeg(*_source(0.2), "-vf", dim, "-c:v", "ffv1", plain)
    quiet = ("-c:v", "libx265", "-x265-params", "log-level=none:lossless=1")
    _ffmpeg("-i", plain, "-vf", f"setparams=range=tv:colorspace=bt709,{graded}", *quiet, path)
    info, frames = _read(path)
    assert any("tone-mapped" in note for note in info.notes)
    assert abs(frames.mean() - _read(plain)[1].mean()) < 12


def _hevc(path, graded, *flags):
    """Writes a plain colour, converted from BT.709 by zscale."""
    source = ("-f", "lavfi", "-i", "color=0xc06040:size=64x64:rate=25:duration=0.2")
    start = "scale=out_color_matrix=bt709,format=yuv444p,setparams=colorspace=bt709:range=tv"
    graded = f"{start},zscale=pin=bt709:min=bt709:tin=bt709:r=limited:{graded},format=yuv444p10le"
    quiet = ("-c:v", "libx265", "-x265-params", "log-level=none:lossless=1")
    _ffmpeg(*source, "-vf", graded, *quiet, *flags, path)


@pytest.mark.parametrize(
    ("graded", "name"),
    [("p=bt2020:m=bt2020nc:t=bt2020-10", "BT.2020"), ("p=smpte432:m=bt709:t=bt709", "Display P3")],
)
def test_wide_gamut_of_standard_range_comes_to_that_of_displays(tmp_path, graded, name):
    path = tmp_path / "a.mkv"
    _hevc(path, graded)
    info, frames = _read(path)
    assert np.abs(frames[0, 9, 9].astype(int) - [0xC0, 0x60, 0x40]).max() <= 3
    assert any(f"{name} brought to BT.709" in note for note in info.notes)


def test_colours_that_the_container_alone_names(tmp_path):
    whole, path = tmp_path / "whole.mkv", tmp_path / "a.mov"
    _hevc(whole, "t=smpte2084:p=bt2020:m=bt2020nc:npl=100")
    names = ("colour_primaries", "transfer_characteristics", "matrix_coefficients")
    forget = "hevc_metadata=" + ":".join(f"{name}=2" for name in names)
    flags = ("-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc")
    _ffmpeg("-i", whole, "-c", "copy", "-bsf:v", forget, *flags, "-tag:v", "hvc1", path)
    info, frames = _read(path)
    assert any("HDR (PQ)" in note for note in info.notes)
    np.testing.assert_array_equal(frames, _read(whole)[1])


def test_transparent_pixels_are_black(tmp_path):
    picture = np.zeros((48, 48, 4), np.uint8)
    picture[..., :3] = (255, 0, 255)
    picture[:, :24, 3] = 255
    for number in range(3):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    path = tmp_path / "a.mov"
    _ffmpeg("-i", tmp_path / "%d.png", "-c:v", "png", "-pix_fmt", "rgba", path)
    for source in (path, tmp_path / "%d.png"):
        info, frames = _read(source)
        assert source is not path or info.notes == ["transparent pixels put on black"]
        assert not frames[:, :, 24:].any() and (frames[:, :, :24] == [255, 0, 255]).all()
    for codec in (("libvpx", "-auto-alt-ref", 0), ("libvpx-vp9", "-lossless", 1)):
        path = tmp_path / f"{codec[0]}.webm"
        _ffmpeg("-i", tmp_path / "%d.png", "-c:v", *codec, "-pix_fmt", "yuva420p", path)
        frames = _read(path)[1].astype(int)
        assert frames[:, :, 28:].max() < 8
        assert np.abs(frames[:, :, :20] - [255, 0, 255]).max() < 8


def test_a_gif_without_transparent_pixels_is_not_said_to_have_some(tmp_path):
    first, *rest = (Image.new("RGB", (32, 32), (40 * t, 10, 200)) for t in range(3))
    first.save(tmp_path / "a.gif", save_all=True, append_images=rest, duration=40)
    assert _read(tmp_path / "a.gif")[0].notes == []


def test_interlaced_frames_are_deinterlaced(tmp_path):
    path = tmp_path / "a.mpg"
    weave = ("-vf", "tinterlace=interleave_top", "-flags", "+ildct+ilme", "-r", 25)
    _ffmpeg(*_source(1, rate=50), *weave, "-c:v", "mpeg2video", "-b:v", "4M", path)
    info, frames = _read(path)
    assert any("deinterlaced" in note for note in info.notes) and len(frames) == 25
    wanted = _as_ffmpeg(path, "-vf", "bwdif=mode=send_frame:deint=interlaced")
    assert np.abs(frames[1:-1].astype(int) - wanted[1:-1]).mean() < 0.5


def test_fields_that_the_container_alone_names(tmp_path):
    woven = ("-vf", "tinterlace=interleave_top,format=yuv422p", "-r", 25)
    source, path = _source(1, rate=50), tmp_path / "a.mkv"
    _ffmpeg(*source, *woven, "-c:v", "huffyuv", "-field_order", "tt", path)  # marks no frames
    info, frames = _read(path)
    assert any("deinterlaced" in note for note in info.notes) and len(frames) == 25
    wanted = _as_ffmpeg(path, "-vf", "bwdif=mode=send_frame:deint=all:parity=tff")
    assert np.abs(frames[1:-1].astype(int) - wanted[1:-1]).mean() < 0.5
    marked, other = tmp_path / "b.mkv", tmp_path / "c.mkv"
    _ffmpeg(*source, *X264, marked)
    _ffmpeg("-i", marked, "-c", "copy", "-field_order", "tt", other)
    info, frames = _read(other)
    assert any("taken as they are" in note for note in info.notes)
    np.testing.assert_array_equal(frames, _read(marked)[1])


@pytest.mark.parametrize("share", [0.6, 0.98])
@pytest.mark.parametrize(
    "kind",
    ["mkv", "webm", "mp4", "fragmented.mp4", "live.mkv", "avi", "gif", "ts", "m2ts", "wmv", "mxf"]
    + ["ogv", "flv", "y4m", "mjpeg", "h264", "apng", "ivf", "dv"],
)
def test_a_file_cut_off_is_noticed(tmp_path, kind, share):
    whole, cut = tmp_path / f"whole.{kind}", tmp_path / f"cut.{kind}"
    codec = {
        "webm": ("-c:v", "libvpx-vp9"),
        "avi": ("-c:v", "mpeg4"),
        "gif": (),
        "y4m": (),
        "mjpeg": ("-c:v", "mjpeg"),
        "wmv": ("-c:v", "wmv2"),
        "mxf": ("-c:v", "mpeg2video"),
        "ogv": ("-c:v", "libtheora"),
        "apng": (),
        "ivf": ("-c:v", "libvpx-vp9"),
        "dv": ("-c:v", "dvvideo", "-s", "720x576", "-pix_fmt", "yuv420p"),
    }.get(kind, X264)
    more = {
        "mp4": ("-movflags", "+faststart"),
        "fragmented.mp4": ("-movflags", "frag_keyframe+empty_moov"),
        "live.mkv": ("-live", 1),
    }.get(kind, ())
    _ffmpeg(*_source(4), *codec, *(("-g", 12) if codec and kind != "dv" else ()), *more, whole)
    assert len(_read(whole)[1]) == 100
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share) | 1])
    with pytest.raises(clips.ClipError, match=r"(breaks off|cut short) after frame \d+") as caught:
        _read(cut)
    coded = int(str(caught.value).rsplit("--frames ")[1].rstrip("."))
    assert len(_read(cut, frames=coded)[1]) == coded
    if kind not in ("h264", "ts", "m2ts"):  # told by their last frames alone
        with pytest.raises(clips.ClipError, match="breaks off"):
            clips.open_clip(cut)  # before anything is coded


def test_a_longer_sound_track_is_no_lack_of_pictures(tmp_path):
    path = tmp_path / "a.mkv"
    _ffmpeg(*_source(1), "-f", "lavfi", "-i", "sine=duration=4", *X264, path)
    assert len(_read(path)[1]) == 25


@pytest.mark.parametrize(
    "name", ["2024-05-01T10:11:12.mp4", "-x.mp4", "a%03d.mp4", "concat:a|b.mp4"]
)
def test_odd_names_are_files(tmp_path, base, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(base.read_bytes())
    assert len(_read(name)[1]) == 25
    out = "out" + name
    assert clips.write_video(out, np.zeros((3, 64, 64, 3), np.uint8), 25) == 3
    assert len(_read(out)[1]) == 3


def test_folders_and_patterns_of_pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(12):
        Image.fromarray(np.full((40, 48, 3), 20 * number, np.uint8)).save(folder / f"f{number}.png")
    (folder / ".DS_Store").write_text("x")
    (folder / "notes.txt").write_text("x")
    for path in (folder, folder / "*.png", folder / "f%d.png"):
        info, frames = _read(path, fps=Fraction(12))
        assert info.fps == 12 and info.frames == 12
        np.testing.assert_array_equal(frames[:, 0, 0, 0], 20 * np.arange(12))
    assert any("--fps" in note for note in _read(folder)[0].notes)
    (folder / "f5.png").unlink()
    assert any("first is 5" in note for note in _read(folder)[0].notes)
    with pytest.raises(clips.ClipError, match="names no picture"):
        clips.probe(folder / "%06d.png")
    (folder / "f3.png").write_bytes(b"no picture")
    with pytest.raises(clips.ClipError, match="f3.png is no picture"):
        _read(folder)
    (folder / "f3.png").rename(folder / "f3.jpg")
    with pytest.raises(clips.ClipError, match="several kinds"):
        clips.probe(folder)


def test_brackets_in_names_and_pictures_of_several_sizes(tmp_path):
    for folder, grey in (("shot[12]", 50), ("shot1", 200)):
        (tmp_path / folder).mkdir()
        for k, width in enumerate((48, 48, 40)):
            picture = np.full((40, width, 3), grey, np.uint8)
            Image.fromarray(picture).save(tmp_path / folder / f"{k}.png")
    for name in ("*.png", "%d.png", "", "[0-2].png"):
        info, frames = clips.open_clip(tmp_path / "shot[12]" / name, size=40)
        frames = list(frames)
        assert len(frames) == 3 and all((frame == 50).all() for frame in frames)
        assert any("several sizes" in note for note in info.notes)


def test_sixteen_bits_palettes_and_turned_photographs(tmp_path):
    deep = np.linspace(0, 65535, 40 * 48).reshape(40, 48).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    read = clips.read_clip(str(tmp_path / "deep*.png"), None, frames=1).frames[0]
    np.testing.assert_array_equal(read[..., 0], np.rint(deep / 257).astype(np.uint8))
    photograph = Image.fromarray(np.zeros((40, 48, 3), np.uint8))
    exif = photograph.getexif()
    exif[0x0112] = 6
    photograph.save(tmp_path / "turned.jpg", exif=exif)
    assert clips.probe(str(tmp_path / "turned*.jpg")).width == 40


def test_animated_webp_and_gif_keep_their_delays(tmp_path):
    pictures = [Image.fromarray(np.full((40, 40, 3), 25 * i, np.uint8)) for i in range(8)]
    delays = [100] * 4 + [300] * 4
    for suffix in ("webp", "gif"):
        path = tmp_path / f"a.{suffix}"
        options = {"lossless": True} if suffix == "webp" else {}
        pictures[0].save(
            path, save_all=True, append_images=pictures[1:], duration=delays, **options
        )
        info, frames = _read(path)
        assert info.fps == 10 and len(frames) == 16
        wanted = list(itertools.chain.from_iterable([i] * (d // 100) for i, d in enumerate(delays)))
        assert (np.abs(frames[:, 5, 5, 0] - 25.0 * np.array(wanted)) <= 2).all()


def test_jpeg_with_exif_in_videos_is_upright(tmp_path):
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:16, :16] = 255
    exif = Image.new("RGB", (1, 1)).getexif()
    exif[0x0112] = 6  # a quarter to the right
    for number in range(3):
        Image.fromarray(picture).save(tmp_path / f"{number}.jpg", exif=exif, quality=95)
    stream, path = tmp_path / "a.mjpeg", tmp_path / "a.avi"
    stream.write_bytes(b"".join((tmp_path / f"{k}.jpg").read_bytes() for k in range(3)))
    _ffmpeg("-i", stream, "-c", "copy", path)
    for source in (stream, path, tmp_path / "%d.jpg"):
        frames = _read(source)[1]
        assert frames.shape == (3, 64, 48, 3)
        assert frames[:, 2:14, 34:46].min() > 200 and frames[:, 20:].max() < 50


def _with_box(data, path, box):
    """Returns the bytes of an MP4 with a box added at the end of the one at `path`."""
    out, at = b"", 0
    while at < len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        body = data[at + 8 : at + length]
        if kind == path[0]:
            start = {b"stsd": 8, b"avc1": 78}.get(kind, 0)
            inner = _with_box(body[start:], path[1:], box) if path[1:] else body[start:] + box
            body = body[:start] + inner
        out += (8 + len(body)).to_bytes(4, "big") + kind + body
        at += length
    return out


def test_borders_that_the_container_hides_are_cut_off(tmp_path, base):
    numbers = (72, 1, 48, 1, 24, 2, 16, 2)  # 72x48, its centre 12 to the right and 8 down
    box = b"".join(number.to_bytes(4, "big") for number in numbers)
    box = (8 + len(box)).to_bytes(4, "big") + b"clap" + box
    place = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"]
    path = tmp_path / "a.mp4"
    path.write_bytes(_with_box(base.read_bytes(), place, box))
    if "Frame Cropping" not in ffmpeg.tracks_of(path):
        pytest.skip("this ffmpeg knows no borders")
    info, frames = _read(path)
    assert (info.width, info.height) == (72, 48) and "borders" in info.notes[0]
    np.testing.assert_array_equal(frames, _read(base)[1][:, 16:, 24:])
    np.testing.assert_array_equal(frames, _as_ffmpeg(path))
