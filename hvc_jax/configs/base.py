"""What every configuration shares; the files beside it differ in the motion block only.

Argument string (after a colon, comma separated; each changes several fields at once):

    size=tiny|small|base   widths of the model, batch size and number of steps
    res=256                side of the square pictures in pixels
    lmbda=...              weight of the distortion against the rate
    data=PATH              a built dataset, or several as data=PATH:WEIGHT,PATH:WEIGHT; without it,
                           synthetic people
    runlocal               the same model for a few steps on 64-pixel pictures, to try a change

    hvc train --config configs/semantic.py:size=tiny,res=128 --workdir runs/a
    hvc train --config configs/keypoint.py --config.total_steps=2000 --workdir runs/b

Any other field is set with `--config.GROUP.FIELD=VALUE`.
"""

from typing import Any

from ml_collections import ConfigDict

ARGUMENTS: dict[str, Any] = {
    "size": "tiny",
    "res": 256,
    "lmbda": 2.0,
    "data": "",
    "runlocal": False,
}


def parse_argument(argument: str | None) -> dict[str, Any]:
    """The argument string as a dict with the types of `ARGUMENTS`; ValueError lists these."""
    values = dict(ARGUMENTS)
    name = ""
    for item in filter(None, (argument or "").split(",")):
        if name == "data" and "=" not in item and item not in values:
            values["data"] += f",{item}"  # a mixture is itself separated by commas
            continue
        name, _, text = item.partition("=")
        if name not in values:
            raise ValueError(f"no config argument {name!r}; use one of {', '.join(ARGUMENTS)}")
        kind = type(ARGUMENTS[name])
        if kind is bool:
            values[name] = text.lower() in ("", "1", "true", "yes")
            continue
        try:
            values[name] = kind(text)
        except ValueError:
            raise ValueError(f"config argument {name}={text!r}: give a {kind.__name__}") from None
    return values


# ---------------------------------------------------------------- model widths, by size
def model_config(size: str) -> ConfigDict:
    """The model of one size without its motion block.

    `size`: "tiny" (trains on a CPU in minutes), "small" or "base" (<= 13 GMAC for a decoded picture
    of 384x384).
    """
    widths = {
        "tiny": dict(widths=(16, 32, 48), blocks=1),
        "small": dict(widths=(48, 80, 128), blocks=1),
        "base": dict(widths=(80, 144, 224), blocks=2),
    }
    if size not in widths:
        raise ValueError(f"no model size {size!r}; use one of {', '.join(widths)}")
    model = ConfigDict()
    model.update(widths[size])  # channels at 1/4, 1/8 and 1/16 of the picture
    model.past = 4  # frames that the prior looks back
    return model


# --------------------------------------------------------------------------------------
def get_base(argument: str | None, motion: dict[str, ConfigDict]) -> ConfigDict:
    """The whole configuration around a motion block.

    `argument`: the argument string, see the module's docstring; `motion`: the motion block by size.

    Returns a locked ConfigDict.
    """
    values = parse_argument(argument)
    size, resolution, path = values["size"], values["res"], values["data"]

    config = ConfigDict()
    config.seed = 0
    config.total_steps = {"tiny": 20_000, "small": 100_000, "base": 400_000}.get(size, 0)
    config.batch_size = {"tiny": 4, "small": 8, "base": 8}.get(size, 0)  # per device
    config.parallel = "jit"  # "jit" (named sharding) or "pmap"; the same numbers
    config.shard_parameters = False  # jit only: parameters and moments split over the devices
    config.dtype = "float32"  # of the layers in training; "bfloat16" for accelerators
    config.init_from = ""  # an export or a workdir whose parameters are the start
    config.init_blocks = ()  # such as ("motion", "log_step"): these alone are taken; () = all

    config.data = ConfigDict()
    config.data.path = path  # built data sets or folders of videos; "" = synthetic people
    config.data.synthetic_clips = 24  # rendered on first use, where synthetic people are asked for
    config.data.synthetic_frames = 50  # a clip
    config.data.size = resolution  # pixels
    config.data.key_qps = (22, 52)  # VVC quantisers of the key pictures taken
    config.data.flip = 0.5  # probability of mirroring
    config.data.crop = 0.85  # smallest share of the picture's side that a crop keeps
    config.data.jitter = 0.2  # strength of the colour changes
    config.data.made = 0.0  # share of pairs of a picture and the same one, warped
    config.data.teacher_flow = False  # correspondences for loss.flow; needs opencv-python-headless
    config.data.held_out = 0.1  # share for validation of clips that have no split for it
    config.data.threads = 1
    config.data.workers = 0  # processes that read; 0 = threads of this one

    config.model = model_config(size)
    config.model.motion = motion[size]

    config.loss = loss = ConfigDict()
    loss.lmbda = values["lmbda"]  # bits a frame / 65536 + lmbda * distortion
    loss.rate_warmup = 0.0  # share of the steps over which the rate's weight grows from 0 to 1
    loss.lmbdas = ()  # several: a model for each, side by side in one program
    loss.l1 = 1.0
    loss.perceptual = 1.0
    loss.perceptual_weights = "none"  # "lpips", "vgg16", a torchvision-layout .pth, or "none"
    loss.perceptual_scales = 2  # full size, half size, ...
    loss.perceptual_window = 0  # side of the random part that is looked at, pixels; 0 = all
    loss.warped = 0.2  # L1 of the key picture as warped, where the motion model has one
    loss.warped_perceptual = 0.2
    # L1 of the key picture's colours as attention moves them, at every scale: the attention
    # reconstruction loss of NTED (Ren et al., CVPR 2022), there 15 times, here the frame's weight.
    loss.attended = 1.0
    # L1 of where attention looks from data.teacher_flow, decaying to 0 (after GFLA, Ren et al.,
    # CVPR 2020, whose flow is trained first; there by features, here by a teacher).
    loss.flow = 0.0
    loss.flow_until = 0.33  # share of the steps after which nothing is left of it
    loss.points = 0.0  # keypoint only: the token's positions to the body's keypoints
    loss.points_only = False  # a first stage: nothing else, nothing decoded, many times as fast
    loss.adversarial = 0.0  # 0 switches the discriminator off altogether
    loss.feature_matching = 1.0  # relative to the distortion, only with the discriminator
    loss.adversarial_start = 5000  # steps before the generator hears the discriminator
    loss.adversarial_ramp = 2000  # steps from nothing to the full weight
    loss.discriminator_width = 32
    loss.discriminator_depth = 4  # halvings
    loss.discriminator_sees_key = True

    config.optim = optim = ConfigDict()
    optim.lr = 4e-4
    optim.discriminator_lr = 2e-4
    optim.step_lr_factor = 10.0  # of the logarithms of the quantisation steps, relative to lr
    optim.schedule = "cosine"  # or "constant"; both after a linear warm-up
    optim.warmup = 200  # steps
    optim.final_lr = 0.02  # of lr, at the end of "cosine"
    optim.b1 = 0.9
    optim.b2 = 0.99
    optim.clip = 1.0  # global norm of the gradient
    optim.ema = 0.999  # of the parameters that are exported
    optim.accumulate = 1  # microbatches of batch_size / accumulate a step

    config.checkpoint = ConfigDict()
    config.checkpoint.every = 1000  # steps
    config.checkpoint.keep = 2  # newest; the best one by validation is kept besides

    config.validation = ConfigDict()  # with every checkpoint
    config.validation.clips = 8  # of the split "development", "validation" or held out; 0 = never
    config.validation.frames = 16  # consecutive ones of each

    config.log = ConfigDict()
    config.log.every = 50  # steps
    config.log.images_every = 1000  # steps; 0 = never

    if values["runlocal"]:
        config.total_steps, config.batch_size, config.data.size = 4, 2, 64
        config.checkpoint.every = config.log.every = config.log.images_every = 2
        config.data.synthetic_clips, config.data.synthetic_frames = 2, 6
        config.validation.clips, config.validation.frames = 1, 4
    return config.lock()
