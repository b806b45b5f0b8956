"""The deep residual U-Net (Zhang, Liu and Wang, "Road Extraction by Deep Residual U-Net", IEEE GRSL 15(5), 2018)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from .common import Network, Norms, conv


class Unit(nn.Module):
    """Pre-activation (He et al., 2016): norm, ReLU, 3x3 convolution with the stride, norm, ReLU, 3x3 convolution; plus the shortcut, a 1x1 convolution on the
    raw input where channels or stride change. The network's first unit omits the norm and ReLU of its input."""

    def __init__(self, inputs: int, outputs: int, norms: Norms, stride: int = 1, first: bool = False):
        super().__init__()
        self.norm1 = None if first else norms(inputs)
        self.conv1 = conv(inputs, outputs, 3, stride)
        self.norm2, self.conv2 = norms(outputs), conv(outputs, outputs, 3)
        self.shortcut = conv(inputs, outputs, 1, stride) if (inputs, stride) != (outputs, 1) else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv1(x if self.norm1 is None else F.relu(self.norm1(x)))
        return self.conv2(F.relu(self.norm2(y))) + self.shortcut(x)


class ResUNet(Network):
    """Strides down; nearest neighbour up, the skip concatenated before the upsampled map; a 1x1 convolution with bias as the head."""

    def __init__(
        self,
        base: int = 64,
        depth: int = 4,
        norm: str = "group",
        groups: int = 8,
        eps: float = 1e-5,
        momentum: float = 0.1,
        classes: int = 1,
    ):
        super().__init__(base, depth)
        norms, channels = Norms(norm, groups, eps, momentum), self.channels
        self.encode = nn.ModuleList(
            Unit(inputs, outputs, norms, stride=2 if level else 1, first=level == 0)
            for level, (inputs, outputs) in enumerate(zip([3, *channels], channels))
        )
        self.decode = nn.ModuleList(
            Unit(own + below, own, norms) for own, below in zip(reversed(channels[:-1]), reversed(channels[1:]))
        )
        self.head = conv(base, classes, 1, bias=True)

    def outputs(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        skips = []
        for unit in self.encode:
            x = unit(x)
            skips.append(x)
        skips.pop()
        for unit in self.decode:
            x = unit(torch.cat([skips.pop(), F.interpolate(x, scale_factor=2, mode="nearest")], dim=1))
        return {"logits": self.head(x)}
