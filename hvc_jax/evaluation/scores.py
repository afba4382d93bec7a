"""The scores of a decoded clip as one row of a table: which there are, and what each looks at."""

import dataclasses
from collections.abc import Callable, Sequence
from fractions import Fraction
from os import PathLike
from typing import NamedTuple

import numpy as np

from hvc_jax.evaluation import learned_metrics, metrics
from hvc_jax.evaluation.keypoints import PoseNet, distance_and_missing
from hvc_jax.evaluation.learned_metrics import check_dists, check_lpips
from hvc_jax.evaluation.lite_networks import LiteNetwork
from hvc_jax.evaluation.regions import Region, body_region, face_region, person_masks
from hvc_jax.evaluation.vmaf import check_vmaf, vmaf
from hvc_jax.ops import ssim
from hvc_jax.ops.ssim import MetricError

_EQUAL_DB = 100.0  # stands for the infinite PSNR of equal frames, so that means stay finite


class Score(NamedTuple):
    """What a column says: its unit and direction, and whether every frame is looked at."""

    title: str
    higher_is_better: bool
    every_frame: bool = False


SCORES = {
    "psnr": Score("PSNR, dB", True, True),
    "ssim": Score("SSIM", True),
    "ms_ssim": Score("MS-SSIM", True),
    "lpips_vgg": Score("LPIPS-VGG", False),
    "lpips_alex": Score("LPIPS-Alex", False),
    "dists": Score("DISTS, full size", False),
    "dists_256": Score("DISTS, shorter side 256", False),
    "vmaf": Score("VMAF", True, True),
    "flicker": Score("flicker, grey levels", False, True),
    "akd": Score("AKD, pixels", False),
    "mkr": Score("MKR", False),
}
REGIONS = ("body", "face")
_OF_POSE = ("akd", "mkr")
_OF_PIXELS = {
    "psnr": metrics.psnr,
    "ssim": ssim.ssim,
    "ms_ssim": ssim.ms_ssim,
    "flicker": metrics.flicker,
}
COLUMNS = (*SCORES, *(f"{r}_{s}" for r in REGIONS for s in SCORES if s not in _OF_POSE))


def score_of(column: str) -> Score:
    """Returns what a column of `COLUMNS` says."""
    region, _, name = column.partition("_")
    if region not in REGIONS:
        return SCORES[column]
    return SCORES[name]._replace(title=f"{SCORES[name].title}, {region}")


@dataclasses.dataclass(frozen=True)
class ScoreOptions:
    """Which scores are wanted, and what they need.

    Attributes:
        scores: names of `COLUMNS`.
        every: scores other than PSNR, VMAF and flicker look at every n-th frame, beginning in the
            middle of the first n so that the key frame does not count more than its share.
        dists_weights: file with the authors' alpha and beta.
        mask_net: .tflite file that segments persons; body scores need it.
        pose_net: .tflite file with MoveNet or .onnx with PoseNet or BodyPix; face scores, AKD and
            MKR need it.
    """

    scores: tuple[str, ...] = COLUMNS
    every: int = 8
    dists_weights: str | PathLike | None = None
    mask_net: str | PathLike | None = None
    pose_net: str | PathLike | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.scores if name not in COLUMNS]
        if unknown:
            raise MetricError(
                f"Score {unknown[0]!r} is unknown; use {', '.join(SCORES)}, all but the last two "
                "also with body_ or face_ before them."
            )
        if self.every < 1:
            raise MetricError("Scores look at every n-th frame with n >= 1.")

    def of_region(self, region: str) -> list[str]:
        """Returns the names of `SCORES` that are wanted in a region; "" is the whole frame."""
        if not region:
            return [name for name in self.scores if name in SCORES]
        ahead = f"{region}_"
        return [name.removeprefix(ahead) for name in self.scores if name.startswith(ahead)]


def unavailable(options: ScoreOptions, side: int) -> dict[str, str]:
    """Returns for each wanted score that stays empty at this side the reason and the way out."""
    checks: dict[str, Callable[[], None]] = {
        "ms_ssim": lambda: ssim.check_ms_ssim_side(side),
        "lpips_vgg": lambda: check_lpips("vgg16"),
        "lpips_alex": lambda: check_lpips("alexnet"),
        "dists": lambda: check_dists(options.dists_weights),
        "dists_256": lambda: check_dists(options.dists_weights),
        "vmaf": check_vmaf,
        "akd": lambda: _check_net(options.pose_net, "--pose-net", PoseNet),
        "mkr": lambda: _check_net(options.pose_net, "--pose-net", PoseNet),
    }
    anywhere = {name for region in ("", *REGIONS) for name in options.of_region(region)}
    wanted = {name: check for name, check in checks.items() if name in anywhere}
    if options.of_region("body"):
        wanted["body scores"] = lambda: _check_net(options.mask_net, "--mask-net")
    if options.of_region("face"):
        wanted["face scores"] = lambda: _check_net(options.pose_net, "--pose-net", PoseNet)
    reasons = {}
    for name, check in wanted.items():
        try:
            check()
        except MetricError as error:
            reasons[name] = str(error)
    return reasons


class Original:
    """A clip to compare with: its regions and keypoints are found once for all codecs.

    Args:
        frames: [T, H, W, 3] uint8 RGB; square where a network is given.
        fps: frames per second.
        options: what is wanted. Scores that `unavailable` names become None.

    `regions`: by name; None where the clip shows no person or face.
    """

    def __init__(
        self, frames: np.ndarray, fps: Fraction | float = 25, options: ScoreOptions | None = None
    ) -> None:
        self._frames, self._fps = frames, fps
        self._options = options = options or ScoreOptions()
        self._some = slice(min(options.every // 2, len(frames) - 1), None, options.every)
        self.regions: dict[str, Region | None] = {}
        if options.mask_net and options.of_region("body"):
            masks = person_masks(LiteNetwork(options.mask_net), frames)
            self.regions["body"] = body_region(masks)
        if options.pose_net and (options.of_region("face") or {*_OF_POSE} & {*options.scores}):
            self._pose = PoseNet(options.pose_net)
            looks, box = [], None
            for frame in frames:
                looks.append(self._pose(frame, box))
                box = looks[-1][2]
            self._points, self._confidence = (np.stack([k[i] for k in looks]) for i in (0, 1))
            self._boxes = [look[2] for look in looks]
            size = frames.shape[1]
            self.regions["face"] = face_region(self._points, self._confidence, size)

    def score(self, decoded: np.ndarray) -> dict[str, float | None]:
        """Returns the means over a decoded clip [T, H, W, 3] uint8 RGB; None: no such mean."""
        row = self._means(decoded, self._options.of_region(""))
        if self._options.pose_net and {*_OF_POSE} & {*self._options.scores}:
            row |= dict(zip(_OF_POSE, self._motion_fidelity(decoded), strict=True))
        for region_name, region in self.regions.items():
            if region is None:
                continue
            means = self._means(decoded, self._options.of_region(region_name), region)
            row |= {f"{region_name}_{name}": value for name, value in means.items()}
        return row

    def _means(
        self, decoded: np.ndarray, names: Sequence[str], region: Region | None = None
    ) -> dict[str, float | None]:
        """Returns the means of scores other than the pose network's, in a region or everywhere."""
        a, b, mask = self._frames, decoded, None
        if region is not None:
            mask = region.weights(*a.shape[1:3])
            a = region.cut(a)
            b = region.composite(a, region.cut(b))
        row: dict[str, float | None] = {}
        for name in names:
            if name in _OF_PIXELS:
                row[name] = self._mean(name, self._frames, decoded, mask)
            elif name == "dists_256" and "dists" in row and min(a.shape[1:3]) <= 256:
                row[name] = row["dists"]  # nothing to shrink: the same pictures
            elif name not in _OF_POSE:
                row[name] = self._mean(name, a, b)
        return row

    def _mean(
        self, name: str, a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None
    ) -> float | None:
        """Returns the mean of one score over the frames that it looks at."""
        if not SCORES[name].every_frame:
            a, b = a[self._some], b[self._some]
            mask = None if mask is None else mask[self._some]
        weights = self._options.dists_weights
        whole: dict[str, Callable[[], np.ndarray]] = {
            "lpips_vgg": lambda: learned_metrics.lpips_vgg(a, b),
            "lpips_alex": lambda: learned_metrics.lpips_alex(a, b),
            "dists": lambda: learned_metrics.dists(a, b, weights),
            "dists_256": lambda: learned_metrics.dists(a, b, weights, small=True),
            "vmaf": lambda: vmaf(a, b, self._fps),
        }
        try:
            values = _OF_PIXELS[name](a, b, mask) if name in _OF_PIXELS else whole[name]()
        except MetricError:
            return None
        values = np.minimum(values, _EQUAL_DB) if name == "psnr" else values
        known = values[~np.isnan(values)]
        return float(known.mean()) if known.size else None

    def _motion_fidelity(self, decoded: np.ndarray) -> tuple[float | None, float | None]:
        """Returns (AKD, MKR) of the frames that costly scores look at."""
        times = range(len(decoded))[self._some]
        looks = [self._pose(decoded[t], self._boxes[t]) for t in times]
        points, confidence = (np.stack([look[i] for look in looks]) for i in (0, 1))
        mine = self._points[self._some], self._confidence[self._some]
        pair = distance_and_missing(*mine, points, confidence)
        akd, mkr = (None if np.isnan(value) else value for value in pair)
        return akd, mkr


def _check_net(path: str | PathLike | None, option: str, load: Callable = LiteNetwork) -> None:
    """Raises MetricError unless there is a network."""
    if path is None:
        raise MetricError(f"No network is given; name one with {option}.")
    load(path)
