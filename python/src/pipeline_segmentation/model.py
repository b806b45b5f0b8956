"""Trained models: a network with what its weights file says about its use. Doesn't read image files."""

from __future__ import annotations

import os
from typing import Union

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from . import metadata, tiles
from .errors import FormatError
from .metadata import Metadata, Normalization, Tiles
from .networks import build
from .networks.common import Network, probabilities
from .resize import to_network, to_photograph


class Model(nn.Module):
    """A network and how it is used.

    `predict` takes a photograph; calling the model is calling its `network`: logits of normalised images. It is in evaluation mode. The attributes are
    those of `metadata.Metadata`: `kind`, `options`, `classes`, `threshold`, `normalization`, `input`, `trained_size`, `tiles`, `precision`, `weights`, `epoch`, `figures`,
    `run`. Where the file doesn't say, `threshold` is 0.5 and `normalization` only scales to 0..1.
    """

    def __init__(self, network: Network, about: Metadata):
        super().__init__()
        self.network = network
        self.kind, self.options, self.classes = about.kind, about.options, about.classes
        self.threshold = 0.5 if about.threshold is None else about.threshold
        self.normalization = about.normalization or Normalization()
        self.input, self.trained_size, self.tiles = about.input, about.trained_size, about.tiles
        self.precision, self.weights, self.epoch = about.precision, about.weights, about.epoch
        self.figures, self.run = about.figures, about.run
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `[batch, classes, height, width]` of normalised images `[batch, 3, height, width]`."""
        return self.network(x)

    @torch.inference_mode()
    def predict(self, image: np.ndarray) -> np.ndarray:
        """Probabilities of a photograph, uint8 RGB `[height, width, 3]`, at its own size: float32 `[height, width]` of the one class, or `[classes, height,
        width]` of several.

        As in training the photograph is resized and normalised, then predicted, whole or tile by tile, and the probabilities are
        brought back. Where the network has no size for photographs they are predicted at their own, in tiles of the size that it
        was trained on. If the file doesn't say that either, they are predicted whole, with their edges reflected until the
        network's stride divides their sides.

        Raises ValueError when the image isn't such a photograph.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise ValueError(f"a photograph is uint8 [height, width, 3], not {image.dtype} {list(image.shape)}")
        size = image.shape[:2]
        shown = slice(0, size[0]), slice(0, size[1])
        if self.input is not None:
            image, shown = to_network(image, self.input)
        divided = self.tiles
        if divided is None and self.input is None and self.trained_size is not None:
            divided = Tiles(self.trained_size)
        if divided is not None:
            values = tiles.predict(image, divided, self._probabilities)
        else:
            values = self._whole(image)
        values = to_photograph(values, shown, size)
        return (values[0] if len(values) == 1 else values).numpy()

    def segment(self, image: np.ndarray) -> np.ndarray:
        """The class of each pixel of a photograph, uint8 `[height, width]`: with one output channel 1 where its probability exceeds `threshold`, else the most
        probable class."""
        values = self.predict(image)
        return (values > self.threshold).astype(np.uint8) if values.ndim == 2 else values.argmax(0).astype(np.uint8)

    def _whole(self, image: np.ndarray) -> torch.Tensor:
        """Probabilities of an image of any size in one pass, `[classes, height, width]`."""
        (height, width), stride = image.shape[:2], self.network.stride
        above, before = -height % stride // 2, -width % stride // 2
        size = height + -height % stride, width + -width % stride
        values = self._probabilities(tiles.cut(image, (-above, -before), size))
        return values[:, above : above + height, before : before + width]

    def _probabilities(self, image: np.ndarray) -> torch.Tensor:
        """Probabilities of an image whose sides the stride divides, on the CPU."""
        weight = next(self.network.parameters())
        mean, std = (
            torch.tensor(of, device=weight.device)[:, None, None] for of in (self.normalization.mean, self.normalization.std)
        )
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(weight.device).permute(2, 0, 1)
        logits = self.network((((pixels / 255) - mean) / std)[None].to(weight.dtype))
        return probabilities(logits.float())[0].cpu()


def load(path: Union[str, os.PathLike], device: Union[str, torch.device] = "cpu") -> Model:
    """The model of a weights file (`model.safetensors`), in evaluation mode on a device.

    Raises OSError when the file can't be read, and FormatError when it holds no model of `pipeline`, a newer one than this package reads, or other tensors than its
    network has.
    """
    about = metadata.read(path)
    try:
        network = build(about.kind, **about.options)
        network.load_state_dict(load_file(str(path)), strict=True)
    except (TypeError, ValueError, RuntimeError) as error:
        raise FormatError(f"{path} isn't a model that this package knows: {error}") from error
    return Model(network, about).to(device)
