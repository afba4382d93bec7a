"""The layers of bench.py's `Stack` in PyTorch, channels last; trains a step for each line it reads.

Prints its number of parameters, then the seconds of each step.
"""

import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


def space_to_depth(x, block):
    """[B, C, H, W] -> [B, C block^2, H/block, W/block]."""
    return F.pixel_unshuffle(x, block)


class RMSNorm(nn.Module):
    """Over channels, with a scale."""

    def __init__(self, channels):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))

    def forward(self, x):
        """Normalise `x` [B, C, H, W]."""
        mean = x.square().mean(1, keepdim=True)
        return x * torch.rsqrt(mean + 1e-6) * self.scale[:, None, None]


def conv(inputs, outputs, kernel=3):
    """A convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)


class ResBlock(nn.Module):
    """As hvc_jax.models.layers.ResBlock."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.skip = nn.Identity() if inputs == outputs else conv(inputs, outputs, 1)
        self.body = nn.Sequential(
            RMSNorm(inputs), nn.SiLU(), conv(inputs, outputs),
            RMSNorm(outputs), nn.SiLU(), conv(outputs, outputs),
        )  # fmt: skip

    def forward(self, x):
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        return self.skip(x) + self.body(x)


def blocks(inputs, outputs, count):
    """`count` residual blocks."""
    return nn.Sequential(*(ResBlock(outputs if i else inputs, outputs) for i in range(count)))


class Stack(nn.Module):
    """Reference encoder and generator."""

    def __init__(self, fine, middle, coarse, count):
        super().__init__()
        self.first = conv(48, fine)
        self.down = nn.ModuleList([conv(4 * fine, middle, 1), conv(4 * middle, coarse, 1)])
        self.encode = nn.ModuleList(blocks(w, w, count) for w in (fine, middle, coarse))
        self.up = nn.ModuleList([conv(coarse, middle), conv(middle, fine)])
        self.decode = nn.ModuleList(
            [
                blocks(coarse, coarse, count),
                blocks(2 * middle, middle, count),
                blocks(2 * fine + 48, fine, count),
            ]
        )
        self.norm = RMSNorm(fine)
        self.mask, self.paint = conv(fine, 16), conv(fine, 48)
        self.detail = conv(fine, 64, 1)
        self.mix, self.out = conv(28, 16), conv(16, 12)

    def forward(self, picture):
        """[B, 3, H, W] -> [B, 3, H, W]."""
        pixels = space_to_depth(picture, 4) - 0.5
        fine = self.encode[0](self.first(pixels))
        middle = self.encode[1](self.down[0](space_to_depth(fine, 2)))
        coarse = self.encode[2](self.down[1](space_to_depth(middle, 2)))
        x = self.decode[0](coarse)
        for i, skip in ((0, [middle]), (1, [fine, pixels])):
            x = F.interpolate(self.up[i](x), scale_factor=2, mode="nearest")
            x = self.decode[i + 1](torch.cat([x, *skip], 1))
        x = F.silu(self.norm(x))
        mask = torch.sigmoid(self.mask(x) + 2)
        copied = pixels * mask.repeat(1, 3, 1, 1)
        frame = space_to_depth(F.pixel_shuffle(copied + self.paint(x), 4), 2)
        detail = torch.cat([frame, F.pixel_shuffle(self.detail(x), 2)], 1)
        return 0.5 + F.pixel_shuffle(frame + self.out(F.silu(self.mix(detail))), 2)


def main():
    """Trains when told to."""
    fine, middle, coarse, count, batch, side = map(int, sys.argv[1:-1])
    clock = {"wall": time.perf_counter, "cpu": time.process_time}[sys.argv[-1]]
    model = Stack(fine, middle, coarse, count).to(memory_format=torch.channels_last)
    print(sum(p.numel() for p in model.parameters()), flush=True)
    adam = torch.optim.Adam(model.parameters(), 1e-4)
    picture = torch.rand(batch, 3, side, side).to(memory_format=torch.channels_last)
    for _ in sys.stdin:
        begin = clock()
        adam.zero_grad()
        (model(picture) - picture).abs().mean().backward()
        adam.step()
        print(clock() - begin, flush=True)


if __name__ == "__main__":
    main()
