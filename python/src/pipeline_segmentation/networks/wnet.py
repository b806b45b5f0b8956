"""W-Net (Galdran et al., "State-of-the-art retinal vessel segmentation with minimalistic models", Scientific Reports 12, 6174, 2022)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from .common import Network, Norms, conv, probabilities


class Block(nn.Module):
    """Twice (3x3 convolution with bias, ReLU, norm, in this order), plus a shortcut of (1x1 convolution, norm)."""

    def __init__(self, inputs: int, outputs: int, norms: Norms):
        super().__init__()
        self.conv1, self.norm1 = conv(inputs, outputs, 3, bias=True), norms(outputs)
        self.conv2, self.norm2 = conv(outputs, outputs, 3, bias=True), norms(outputs)
        self.shortcut, self.shortcut_norm = conv(inputs, outputs, 1), norms(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm1(F.relu(self.conv1(x)))
        return self.norm2(F.relu(self.conv2(y))) + self.shortcut_norm(self.shortcut(x))


class Bridge(nn.Module):
    """What a skip passes through: 3x3 convolution with bias, ReLU, norm."""

    def __init__(self, channels: int, norms: Norms):
        super().__init__()
        self.conv, self.norm = conv(channels, channels, 3, bias=True), norms(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(F.relu(self.conv(x)))


class LittleUNet(nn.Module):
    """One of the two U-Nets: 2x2 max pooling down; 2x2 transposed convolution with bias up, the upsampled map before the bridged
    skip; a 1x1 convolution with bias as the head."""

    def __init__(self, channels: list[int], norms: Norms, inputs: int, classes: int):
        super().__init__()
        up = list(zip(reversed(channels[1:]), reversed(channels[:-1])))
        self.down = nn.ModuleList(Block(given, own, norms) for given, own in zip([inputs, *channels], channels))
        self.up = nn.ModuleList(nn.ConvTranspose2d(below, own, 2, stride=2) for below, own in up)
        self.bridge = nn.ModuleList(Bridge(own, norms) for _, own in up)
        self.decode = nn.ModuleList(Block(2 * own, own, norms) for _, own in up)
        self.head = conv(channels[0], classes, 1, bias=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for at, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if at > 0 else x)
            skips.append(x)
        skips.pop()
        for up, bridge, block in zip(self.up, self.bridge, self.decode):
            x = block(torch.cat([up(x), bridge(skips.pop())], dim=1))
        return self.head(x)


class WNet(Network):
    """A small U-Net, then a second one on the image with the first one's output behind it; predictions come from the second, the loss is the sum of both. `feed`:
    what the second is given, `probabilities` or `logits`."""

    def __init__(
        self,
        base: int = 8,
        depth: int = 3,
        norm: str = "batch",
        groups: int = 8,
        eps: float = 1e-5,
        momentum: float = 0.1,
        classes: int = 1,
        feed: str = "probabilities",
    ):
        super().__init__(base, depth)
        if feed not in ("probabilities", "logits"):
            raise ValueError(f"feed is probabilities or logits, not {feed!r}")
        norms = Norms(norm, groups, eps, momentum)
        self.feed = feed
        self.first = LittleUNet(self.channels, norms, 3, classes)
        self.second = LittleUNet(self.channels, norms, 3 + classes, classes)
        self.supervised = {"logits": 1.0, "first": 1.0}

    def outputs(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        first = self.first(x)
        shown = probabilities(first) if self.feed == "probabilities" else first
        return {"logits": self.second(torch.cat([x, shown], dim=1)), "first": first}
