"""FR-UNet (Liu et al., "Full-Resolution Network and Dual-Threshold Iteration for Retinal Vessel and Coronary Angiograph Segmentation", IEEE JBHI 26(9), 2022)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from .common import Network, Norms, conv

SLOPE = 0.1  #: of the leaky ReLU


class Aggregate(nn.Module):
    """The sum of a 1x1, a 3x3 and a 3x3 convolution of dilation 2, then the norm."""

    def __init__(self, inputs: int, outputs: int, norms: Norms):
        super().__init__()
        self.point, self.near = conv(inputs, outputs, 1), conv(inputs, outputs, 3)
        self.wide, self.norm = conv(inputs, outputs, 3, dilation=2), norms(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.point(x) + self.near(x) + self.wide(x))


class Block(nn.Module):
    """Aggregation where channels change, then 3x3 convolution, norm, leaky ReLU, 3x3 convolution, norm, plus the input, leaky ReLU. `raised` and `lowered` are
    what the rows above and below see of its output: 2x2 convolutions of stride 2, transposed or not, each with norm and leaky ReLU."""

    def __init__(self, inputs: int, own: int, norms: Norms, up: bool, down: bool):
        super().__init__()
        self.aggregate = Aggregate(inputs, own, norms) if inputs != own else nn.Identity()
        self.conv1, self.norm1 = conv(own, own, 3), norms(own)
        self.conv2, self.norm2 = conv(own, own, 3), norms(own)
        if up:
            self.up, self.up_norm = nn.ConvTranspose2d(own, own // 2, 2, stride=2, bias=False), norms(own // 2)
        if down:
            self.down, self.down_norm = conv(own, 2 * own, 2, stride=2), norms(2 * own)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.aggregate(x)
        y = F.leaky_relu(self.norm1(self.conv1(x)), SLOPE)
        return F.leaky_relu(self.norm2(self.conv2(y)) + x, SLOPE)

    def raised(self, x: torch.Tensor) -> torch.Tensor:
        return F.leaky_relu(self.up_norm(self.up(x)), SLOPE)

    def lowered(self, x: torch.Tensor) -> torch.Tensor:
        return F.leaky_relu(self.down_norm(self.down(x)), SLOPE)


class FRUNet(Network):
    """A triangle of blocks. Row r has the sides divided by 2^r, in the columns r to 2 (depth - 1) - r. A block sees its neighbours of the column before: the row
    above lowered, its own row, the row below raised, in this order. Each block of row 0 from column 2 on has a head, a 1x1 convolution with bias; the logits are
    the mean of theirs."""

    def __init__(
        self,
        base: int = 32,
        depth: int = 4,
        norm: str = "batch",
        groups: int = 8,
        eps: float = 1e-5,
        momentum: float = 0.1,
        classes: int = 1,
    ):
        super().__init__(base, depth)
        norms, last = Norms(norm, groups, eps, momentum), 2 * (depth - 1)
        self.cells = [(row, column) for column in range(last + 1) for row in range(depth) if row <= column <= last - row]
        self.blocks = nn.ModuleDict()
        for row, column in self.cells:
            own = self.channels[row]
            neighbours = sum(abs(row - other) <= 1 for other, at in self.cells if at == column - 1)
            up, down = ((row + step, column + 1) in self.cells for step in (-1, 1))
            self.blocks[_name(row, column)] = Block(neighbours * own or 3, own, norms, up=up, down=down)
        # With one or two levels only the last column has a head.
        columns = range(min(2, last), last + 1)
        self.heads = nn.ModuleDict({f"c{column}": conv(base, classes, 1, bias=True) for column in columns})

    def outputs(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        maps: dict[tuple[int, int], torch.Tensor] = {}
        for row, column in self.cells:
            given = [self._seen(maps, row, other, column - 1) for other in (row - 1, row, row + 1) if (other, column - 1) in maps]
            maps[row, column] = self.blocks[_name(row, column)](torch.cat(given, dim=1) if given else x)
        heads = {f"heads.{name}": head(maps[0, int(name[1:])]) for name, head in self.heads.items()}
        return {"logits": torch.stack(list(heads.values())).mean(0), **heads}

    def _seen(self, maps: dict[tuple[int, int], torch.Tensor], row: int, other: int, column: int) -> torch.Tensor:
        """What row `row` sees of the block of another row, or its own, in a column."""
        block, x = self.blocks[_name(other, column)], maps[other, column]
        if other == row:
            return x
        return block.lowered(x) if other < row else block.raised(x)


def _name(row: int, column: int) -> str:
    return f"r{row}c{column}"
