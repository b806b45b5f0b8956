"""The U-Net and the loss in PyTorch, as `pipeline` trains them; names of tensors are those of `model.safetensors`.

`depth` levels of `base << level` channels. A level is twice (3x3 convolution without bias, norm, ReLU). 2x2 max pooling down; 2x2
transposed convolution with bias up, the skip concatenated before the upsampled map; a 1x1 convolution with bias as the head.
"""
import torch
from torch import nn
from torch.nn import functional as F

NORMS = {
    "group": lambda channels: nn.GroupNorm(min(8, channels), channels),
    "batch": nn.BatchNorm2d,
    "instance": lambda channels: nn.InstanceNorm2d(channels, affine=True),
}


class Level(nn.Module):
    def __init__(self, inputs, outputs, norm):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm1 = NORMS[norm](outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = NORMS[norm](outputs)

    def forward(self, x):
        x = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(x)))


class UNet(nn.Module):
    def __init__(self, base, depth, norm):
        super().__init__()
        channels = [base << level for level in range(depth)]
        down = zip([3, *channels], channels)
        up = list(zip(reversed(channels[1:]), reversed(channels[:-1])))
        self.down = nn.ModuleList(Level(inputs, outputs, norm) for inputs, outputs in down)
        self.up = nn.ModuleList(nn.ConvTranspose2d(inputs, outputs, 2, stride=2) for inputs, outputs in up)
        self.decode = nn.ModuleList(Level(2 * outputs, outputs, norm) for _, outputs in up)
        self.head = nn.Conv2d(base, 1, 1)

    def forward(self, x):
        skips = []
        for at, level in enumerate(self.down):
            if at > 0:
                skips.append(x)
                x = F.max_pool2d(x, 2)
            x = level(x)
        for up, level in zip(self.up, self.decode):
            x = level(torch.cat([skips.pop(), up(x)], dim=1))
        return self.head(x)


def bce_dice(logits, masks, eps=1e-5):
    """The mean over the samples of binary cross-entropy plus soft Dice: `1 - (2 sum(p y) + eps) / (sum(p) + sum(y) + eps)`."""
    p = logits.sigmoid()
    overlap, total = (p * masks).sum((1, 2, 3)), p.sum((1, 2, 3)) + masks.sum((1, 2, 3))
    dice = 1 - (2 * overlap + eps) / (total + eps)
    return F.binary_cross_entropy_with_logits(logits, masks) + dice.mean()
