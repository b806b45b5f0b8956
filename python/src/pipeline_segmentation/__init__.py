"""Models and runs of the program `pipeline`, from Python.

    model = pipeline_segmentation.load("runs/NAME/model.safetensors")     # needs the extra [torch]
    run = pipeline_segmentation.runs.read("runs/NAME")                    # needs nothing; data frames with the extra [pandas]

`networks` has the networks as PyTorch modules. `python -m pipeline_segmentation quickstart` prints where a shipped pipeline file is.
"""

from __future__ import annotations

from pathlib import Path

from . import metadata, runs
from .errors import FormatError

__all__ = ["FormatError", "load", "metadata", "pipeline_file", "pipeline_files", "runs"]


def load(path, device="cpu"):
    """The model of a weights file, in evaluation mode on a device: see `pipeline_segmentation.model.load`. Needs PyTorch."""
    from .model import load as load_model

    return load_model(path, device)


def pipeline_files() -> dict[str, Path]:
    """The pipeline files that the package ships, by name: `quickstart`, `fives`, ..."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "pipelines").glob("*.yml"))}


def pipeline_file(name: str) -> Path:
    """The path of the shipped pipeline file with this name, such as `quickstart`.

    Raises KeyError when there is none.
    """
    files = pipeline_files()
    if name not in files:
        raise KeyError(f"no pipeline file is named {name!r}; there are {', '.join(files)}")
    return files[name]
