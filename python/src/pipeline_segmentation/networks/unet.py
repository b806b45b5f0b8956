"""The U-Net (Ronneberger, Fischer and Brox, 2015) with norms, and deep supervision as in nnU-Net (Isensee et al., Nature Methods 18, 2021)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from .common import Network, Norms, conv


class Level(nn.Module):
    """Twice (3x3 convolution without bias, norm, ReLU)."""

    def __init__(self, inputs: int, outputs: int, norms: Norms):
        super().__init__()
        self.conv1, self.norm1 = conv(inputs, outputs, 3), norms(outputs)
        self.conv2, self.norm2 = conv(outputs, outputs, 3), norms(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(x)))


class UNet(Network):
    """2x2 max pooling down; 2x2 transposed convolution with bias up, the skip concatenated before the upsampled map; a 1x1
    convolution with bias as the head. `deep_supervision` adds such a head on every other decoder level: `deep_heads.0` at half the sides, and so on."""

    def __init__(
        self,
        base: int = 32,
        depth: int = 5,
        norm: str = "group",
        groups: int = 8,
        eps: float = 1e-5,
        momentum: float = 0.1,
        classes: int = 1,
        deep_supervision: bool = False,
    ):
        super().__init__(base, depth)
        norms, channels = Norms(norm, groups, eps, momentum), self.channels
        up = list(zip(reversed(channels[1:]), reversed(channels[:-1])))
        self.down = nn.ModuleList(Level(inputs, outputs, norms) for inputs, outputs in zip([3, *channels], channels))
        self.up = nn.ModuleList(nn.ConvTranspose2d(inputs, outputs, 2, stride=2) for inputs, outputs in up)
        self.decode = nn.ModuleList(Level(2 * outputs, outputs, norms) for _, outputs in up)
        self.head = conv(base, classes, 1, bias=True)
        deep = channels[1:-1] if deep_supervision else []
        self.deep_heads = nn.ModuleList(conv(own, classes, 1, bias=True) for own in deep)
        self.supervised = _weights(["logits"] + [f"deep_heads.{at}" for at in range(len(deep))])

    def outputs(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        skips, decoded = [], []
        for at, level in enumerate(self.down):
            if at > 0:
                skips.append(x)
                x = F.max_pool2d(x, 2)
            x = level(x)
        for up, level in zip(self.up, self.decode):
            x = level(torch.cat([skips.pop(), up(x)], dim=1))
            decoded.append(x)
        deep = {f"deep_heads.{at}": head(map) for at, (head, map) in enumerate(zip(self.deep_heads, decoded[-2::-1]))}
        return {"logits": self.head(x), **deep}


def _weights(heads: list[str]) -> dict[str, float]:
    """1, 1/2, 1/4, ... from the finest head down; with several heads the coarsest gets 0. Divided by their sum."""
    halves = [0.5**at for at in range(len(heads))]
    if len(heads) > 1:
        halves[-1] = 0.0
    return {head: half / sum(halves) for head, half in zip(heads, halves)}
