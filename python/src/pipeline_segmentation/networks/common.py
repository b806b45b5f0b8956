"""What the networks share: their norms, convolutions and the base class."""

from __future__ import annotations

from typing import Callable

import torch
from torch import nn


class Norms:
    """Makes norms of one kind: `group`, `batch` or `instance`. `groups` is used by group norm, at most as many as a layer has
    channels; `momentum` by batch norm: the weight of a batch's statistics in the running ones."""

    def __init__(self, norm: str, groups: int = 8, eps: float = 1e-5, momentum: float = 0.1):
        kinds: dict[str, Callable[[int], nn.Module]] = {
            "group": lambda channels: nn.GroupNorm(min(groups, channels), channels, eps=eps),
            "batch": lambda channels: nn.BatchNorm2d(channels, eps=eps, momentum=momentum),
            "instance": lambda channels: nn.InstanceNorm2d(channels, eps=eps, affine=True),
        }
        if norm not in kinds:
            raise ValueError(f"no norm is named {norm!r}; there are {', '.join(kinds)}")
        self.make = kinds[norm]

    def __call__(self, channels: int) -> nn.Module:
        return self.make(channels)


class Network(nn.Module):
    """A network of several levels, each with twice the channels and half the sides of the one above."""

    #: The weight of each head in the loss, by its name in `outputs`.
    supervised: dict[str, float]

    def __init__(self, base: int, depth: int):
        super().__init__()
        self.channels = [base << level for level in range(depth)]
        self.supervised = {"logits": 1.0}

    @property
    def stride(self) -> int:
        """The sides of images must be multiples of this."""
        return 1 << (len(self.channels) - 1)

    def outputs(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """The logits of each head for images `[batch, 3, height, width]`. `logits` is what predictions are made from."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `[batch, classes, height, width]` of images `[batch, 3, height, width]`."""
        return self.outputs(x)["logits"]


def conv(inputs: int, outputs: int, size: int, stride: int = 1, dilation: int = 1, bias: bool = False) -> nn.Conv2d:
    """A convolution whose padding leaves the sides to the stride; 2x2 with a stride of 2 needs none."""
    padding = dilation * (size // 2) if size % 2 else 0
    return nn.Conv2d(inputs, outputs, size, stride, padding=padding, dilation=dilation, bias=bias)


def probabilities(logits: torch.Tensor) -> torch.Tensor:
    """Logits `[batch, classes, height, width]` to probabilities: by the sigmoid with one channel, else by softmax."""
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)
