"""From a photograph's size to the network's and back, as the stages `resize` and `evaluate` of `pipeline` do it. An image comes out the same, to the bit: the
filters of Pillow or PyTorch round otherwise in up to a sixth of the pixels."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from .metadata import Input


def _catmull_rom(x: np.ndarray) -> np.ndarray:
    near, far = (1.5 * x - 2.5) * x * x + 1.0, (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


#: The filters: how far from a pixel's centre each reaches, and its weight at a distance, both in pixels of the smaller picture.
FILTERS = {
    "bilinear": (1.0, lambda x: np.maximum(1.0 - x, 0.0)),
    "catmull_rom": (2.0, _catmull_rom),
    "lanczos3": (3.0, lambda x: np.where(x < 3.0, np.sinc(x) * np.sinc(x / 3.0), 0.0)),
    "box": (0.5, None),
}


def to_network(image: np.ndarray, wanted: Input) -> tuple[np.ndarray, tuple[slice, slice]]:
    """The image, uint8 `[height, width, 3]`, at the network's size, and where it lies in it: rows and columns. With `pad` the rest is black."""
    (height, width), size = image.shape[:2], tuple(wanted.size)
    if wanted.fit not in ("stretch", "pad") or wanted.filter not in FILTERS:
        raise ValueError(
            f"this package can't resize with fit {wanted.fit} and filter {wanted.filter}: pip install --upgrade pipeline-segmentation"
        )
    if (height, width) == size:
        return image, (slice(0, height), slice(0, width))
    tall, wide = inside((height, width), size) if wanted.fit == "pad" else size
    top, left = (size[0] - tall) // 2, (size[1] - wide) // 2
    shown = slice(top, top + tall), slice(left, left + wide)
    whole = np.zeros((*size, 3), np.uint8)
    # Rows first: each pass rounds to whole numbers.
    whole[shown] = _resized(_resized(image, tall, wanted.filter).swapaxes(0, 1), wide, wanted.filter).swapaxes(0, 1)
    return whole, shown


def inside(shape: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """The largest height and width of the given shape that fit into a size."""
    (height, width), (tall, wide) = shape, size
    if tall * width <= wide * height:
        return tall, min(max((width * tall + height // 2) // height, 1), wide)
    return min(max((height * wide + width // 2) // width, 1), tall), wide


def to_photograph(probabilities: torch.Tensor, shown: tuple[slice, slice], size: tuple[int, int]) -> torch.Tensor:
    """Probabilities `[classes, height, width]` of the part `shown`, at the photograph's height and width: bilinear between the centres of pixels, the edges
    repeated."""
    part = probabilities[:, shown[0], shown[1]]
    if tuple(part.shape[1:]) == tuple(size):
        return part
    return F.interpolate(part[None], size=tuple(size), mode="bilinear", align_corners=False)[0]


def _resized(image: np.ndarray, to: int, filter: str) -> np.ndarray:
    """The image, uint8 `[side, ...]`, with its first side resized."""
    side = len(image)
    if side == to:
        return image
    places, weights = _weights(side, to, filter)
    # 16-bit weights with as many bits behind the point as the largest of them leaves.
    bits = next(bits for bits in range(22) if bits == 21 or np.floor(weights.max() * 2.0 ** (bits + 1) + 0.5) >= 2**15)
    whole = np.trunc(weights * 2.0**bits + np.copysign(0.5, weights)).astype(np.int32)
    sums = np.full((to, *image.shape[1:]), 1 << (bits - 1), np.int32)
    for place, weight in zip(places.T, whole.T):
        sums += image[place] * weight.reshape(-1, *[1] * (image.ndim - 1))
    return (sums >> bits).clip(0, 255).astype(np.uint8)


def _weights(side: int, to: int, filter: str) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels of a side each of `to` pixels is made of, and their weights, both `[to, count]`. Weights of places beyond the side are 0."""
    scale = side / to
    wider = max(scale, 1.0)
    reach, weight = FILTERS[filter]
    reach = reach * wider
    middle = (np.arange(to)[:, None] + 0.5) * scale
    first, last = np.floor(middle - reach).clip(0), np.ceil(middle + reach).clip(max=side)
    places = first + np.arange(2 * int(np.ceil(reach)) + 1)
    away = (places - (middle - 0.5)) * (1.0 / wider)
    # A box takes the pixel at one end and not at the other.
    weights = np.where((away > -0.5) & (away <= 0.5), 1.0, 0.0) if weight is None else weight(np.abs(away))
    weights = np.where(places < last, weights, 0.0)
    return places.clip(max=side - 1).astype(np.intp), weights / weights.sum(1, keepdims=True)
