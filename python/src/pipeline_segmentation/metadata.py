"""What a weights file says about its model. Needs neither PyTorch nor NumPy, and reads no tensors."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any, Optional, Union

from .errors import FormatError

#: The newest version of the format that this package reads.
FORMAT_VERSION = 1

#: A safetensors file begins with the length of its JSON header; a longer one than this is refused, as by the safetensors library.
LONGEST_HEADER = 100_000_000


@dataclass(frozen=True)
class Input:
    """How a photograph is resized for the network."""

    size: tuple[int, int]  #: height and width in pixels
    fit: str = "stretch"  #: `stretch`, or `pad`: keep the aspect ratio and pad with black on both sides
    filter: str = "bilinear"  #: `bilinear`, `catmull_rom`, `lanczos3` or `box`, each over all pixels that fall into one


@dataclass(frozen=True)
class Normalization:
    """A value of 0 to 255 becomes `(value / 255 - mean) / std`, by channel."""

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Tiles:
    """The image is predicted tile by tile."""

    size: tuple[int, int]  #: height and width in pixels
    overlap: float = 0.5  #: share of a tile's side that the next one covers again, from 0 to below 1


@dataclass(frozen=True)
class Metadata:
    """What a weights file says about its model. `None`, or an empty dict, where the file doesn't say: files of early versions of the program describe only the
    network."""

    kind: str  #: the network: `unet`, `resunet`, `wnet` or `frunet`
    options: dict[str, Any]  #: the network's options, as under `model:` in a pipeline file; those missing have their defaults
    classes: Optional[list[str]] = None  #: names of the classes, the background first
    threshold: Optional[float] = None  #: with one output channel, a pixel is the second class where its probability exceeds this
    normalization: Optional[Normalization] = None
    input: Optional[Input] = None  #: `None`: photographs are predicted at their own size
    trained_size: Optional[tuple[int, int]] = None  #: height and width in pixels of what the network was trained on
    tiles: Optional[Tiles] = None  #: `None`: predicted whole, or, at its own size, in tiles of `trained_size`
    precision: Optional[str] = None  #: `no`, `fp16` or `bf16`: what it was trained in
    weights: Optional[str] = None  #: `trained`, or `average` for an exponential moving average
    epoch: Optional[int] = None  #: after which epoch, from 1
    figures: dict[str, Any] = field(default_factory=dict)  #: of each evaluator, by its id, its last figures
    run: dict[str, Any] = field(default_factory=dict)  #: `name`, `seed` and `pipeline_sha256` of the run


def read(path: Union[str, os.PathLike]) -> Metadata:
    """What the weights file at `path` says about its model.

    Raises OSError when the file can't be read, and FormatError when it is no weights file of `pipeline`, or a newer one than this
    package reads.
    """
    entries = header(path).get("__metadata__", {})
    version = entries.get("format_version", str(FORMAT_VERSION))
    if not version.isdigit() or int(version) > FORMAT_VERSION:
        raise FormatError(
            f"{path} has version {version} of the model format, and this package reads up to {FORMAT_VERSION}: "
            "pip install --upgrade pipeline-segmentation"
        )
    try:
        return _described(json.loads(entries["model"])) if "model" in entries else _early(entries)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"{path} doesn't describe a model of pipeline: {type(error).__name__} {error}") from error


def header(path: Union[str, os.PathLike]) -> dict[str, Any]:
    """The JSON header of a safetensors file: its tensors' types and shapes by name, and `__metadata__`.

    Raises OSError when the file can't be read, and FormatError when it is no safetensors file.
    """
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(length) if length <= LONGEST_HEADER else b""
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise FormatError(f"{path} isn't a safetensors file") from error
    if not isinstance(entries, dict):
        raise FormatError(f"{path} isn't a safetensors file")
    return entries


def _described(model: dict[str, Any]) -> Metadata:
    """From the entry `model`."""
    ((kind, options),) = model["network"].items()
    trained_size = model.get("trained_size")
    return Metadata(
        kind=kind,
        options=dict(options),
        classes=model.get("classes") or None,
        threshold=model.get("threshold"),
        normalization=_entries(Normalization, model.get("normalization"), "mean", "std"),
        input=_entries(Input, model.get("input"), "size"),
        trained_size=None if trained_size is None else tuple(trained_size),
        tiles=_entries(Tiles, model.get("tiles"), "size"),
        precision=model.get("precision"),
        weights=model.get("weights"),
        epoch=model.get("epoch"),
        figures=model.get("figures") or {},
        run=model.get("run") or {},
    )


def _entries(kind: type, entries: Optional[dict[str, Any]], *pairs: str):
    """The dataclass of some entries, those in `pairs` as tuples; None of none. Entries that it doesn't know are ignored: later versions may add some."""
    if entries is None:
        return None
    known = {key: value for key, value in entries.items() if key in kind.__dataclass_fields__}
    return kind(**{**known, **{key: tuple(entries[key]) for key in pairs}})


def _early(entries: dict[str, str]) -> Metadata:
    """From a file that describes only its network, with an entry for each option that isn't the default."""
    types = {"base": int, "depth": int, "norm": str, "classes": int, "groups": int, "eps": float, "momentum": float, "feed": str}
    options = {name: of(entries[name]) for name, of in types.items() if name in entries}
    if missing := {"base", "depth", "norm"} - options.keys():
        raise KeyError(", ".join(sorted(missing)))
    if "deep_supervision" in entries:
        options["deep_supervision"] = entries["deep_supervision"] == "true"
    return Metadata(kind=entries.get("network", "unet"), options=options)
