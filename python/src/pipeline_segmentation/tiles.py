"""Prediction tile by tile: where tiles lie on an image and what a pixel's place in one weighs. As MONAI's `sliding_window_inference(mode="gaussian")`, but an
image that is smaller than a tile is reflected at its edges, and probabilities are averaged."""

from __future__ import annotations

from typing import Callable

import numpy as np
import torch

from .metadata import Tiles

SIGMA = 0.125  #: the standard deviation of the Gaussian, in tiles
LEAST = 1e-3  #: the least weight: no pixel at a tile's edge counts for nothing


def predict(image: np.ndarray, tiles: Tiles, probabilities: Callable[[np.ndarray], torch.Tensor]) -> torch.Tensor:
    """Probabilities `[classes, height, width]` of an image `[height, width, 3]`: at each pixel the mean over the tiles that hold it, weighted by its place in
    each. `probabilities` gives those of one tile, `[classes, height, width]`, on the CPU."""
    (height, width), (tall, wide) = image.shape[:2], tiles.size
    weight = weights(tall, wide)
    sums, total = None, torch.zeros(height, width)
    for top in starts(height, tall, tiles.overlap):
        for left in starts(width, wide, tiles.overlap):
            values = probabilities(cut(image, (top, left), tiles.size))
            if sums is None:
                sums = torch.zeros(len(values), height, width)
            rows, columns = slice(max(top, 0), min(top + tall, height)), slice(max(left, 0), min(left + wide, width))
            inside = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
            sums[:, rows, columns] += values[:, inside[0], inside[1]] * weight[inside]
            total[rows, columns] += weight[inside]
    return sums / total


def starts(side: int, tile: int, overlap: float) -> list[int]:
    """Where tiles begin along one side. Each begins `max(1, trunc(tile (1 - overlap)))` pixels behind the one before, but the last ends with the image. Negative
    where the image is smaller than the tile: half of what is missing lies before it."""
    if side < tile:
        return [-((tile - side) // 2)]
    return [*range(0, side - tile, max(1, int(tile * (1.0 - overlap)))), side - tile]


def weights(height: int, width: int) -> torch.Tensor:
    """What each pixel of a tile weighs, `[height, width]`: the product of `exp(-d^2 / (2 s^2))` along both sides, `d` the distance from the middle and `s` an
    eighth of the side; at least 0.001, or the smallest product where that is more."""

    def line(length: int) -> torch.Tensor:
        place = torch.arange(length, dtype=torch.float64) - (length - 1) / 2
        return torch.exp(-(place**2) / (2 * (SIGMA * length) ** 2))

    product = line(height)[:, None] * line(width)
    return product.clamp(min=max(product.min().item(), LEAST)).float()


def cut(image: np.ndarray, start: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """The rectangle of `size` that begins at `start` (row, column) of an image `[height, width, ...]`; beyond its edges the image is reflected at the middle of its
    edge pixels, again and again."""
    rows, columns = (_reflected(np.arange(at, at + length), side) for at, length, side in zip(start, size, image.shape))
    return image[rows[:, None], columns]


def _reflected(places: np.ndarray, side: int) -> np.ndarray:
    """The pixels from 0 to `side - 1` that stand at places before, in and behind a side."""
    if side == 1:
        return np.zeros_like(places)
    there = places % (2 * (side - 1))
    return np.minimum(there, 2 * (side - 1) - there)
