"""What weights files say of their models, of every version of the format. Needs no PyTorch."""

import json
from pathlib import Path

import pytest

from pipeline_segmentation import FormatError, metadata, pipeline_file, pipeline_files
from pipeline_segmentation.metadata import Input, Normalization, Tiles

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"

MODEL = {
    "network": {
        "unet": {
            "base": 8,
            "depth": 3,
            "norm": "group",
            "groups": 8,
            "eps": 1e-5,
            "momentum": 0.1,
            "classes": 1,
            "deep_supervision": False,
        }
    },
    "trained_size": [96, 128],
    "input": {"size": [96, 128], "fit": "pad", "filter": "box"},
    "normalization": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1]},
    "classes": ["background", "vessel"],
    "threshold": 0.4,
    "tiles": {"size": [64, 32], "overlap": 0.25},
    "precision": "bf16",
    "weights": "average",
    "epoch": 7,
    "figures": {"validate": {"part": "validation", "dice": 0.8}},
    "run": {"name": "fives", "seed": 42, "pipeline_sha256": "00"},
}


def file_with(folder, entries):
    header = json.dumps({"__metadata__": entries, "x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    path = folder / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    return path


def described(folder, **changes):
    return file_with(folder, {"format": "pipeline model", "format_version": "1", "model": json.dumps({**MODEL, **changes})})


def test_a_file_says_everything(tmp_path):
    about = metadata.read(described(tmp_path, later="unknown", input={**MODEL["input"], "later": 1}))
    assert (about.kind, about.options) == ("unet", MODEL["network"]["unet"])
    assert about.input == Input((96, 128), "pad", "box")
    assert about.tiles == Tiles((64, 32), 0.25) and about.trained_size == (96, 128)
    assert about.normalization == Normalization((0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
    assert (about.classes, about.threshold, about.epoch) == (["background", "vessel"], 0.4, 7)
    assert (about.precision, about.weights) == ("bf16", "average")
    assert (about.figures, about.run) == (MODEL["figures"], MODEL["run"])


def test_a_file_may_say_little(tmp_path):
    about = metadata.read(described(tmp_path, input=None, tiles=None, epoch=None, run=None, trained_size=None, classes=[]))
    assert (about.input, about.tiles, about.epoch, about.trained_size, about.classes, about.run) == (None,) * 5 + ({},)
    path = file_with(tmp_path, {"format_version": "1", "model": json.dumps({"network": {"wnet": {}}})})
    assert metadata.read(path) == metadata.Metadata("wnet", {})


def test_early_files_describe_their_networks(tmp_path):
    about = metadata.read(file_with(tmp_path, {"base": "8", "depth": "3", "norm": "group"}))
    assert about == metadata.Metadata("unet", {"base": 8, "depth": 3, "norm": "group"})
    entries = {
        "network": "wnet",
        "base": "8",
        "depth": "3",
        "norm": "batch",
        "classes": "3",
        "groups": "4",
        "eps": "0.001",
        "momentum": "0.2",
    }
    about = metadata.read(file_with(tmp_path, {**entries, "feed": "logits", "deep_supervision": "true"}))
    options = {"base": 8, "depth": 3, "norm": "batch", "classes": 3, "groups": 4, "eps": 0.001, "momentum": 0.2}
    assert (about.kind, about.options) == ("wnet", {**options, "feed": "logits", "deep_supervision": True})


def test_other_files_are_refused(tmp_path):
    for version in ("2", "x", ""):
        with pytest.raises(FormatError, match="up to 1.*pip install --upgrade"):
            metadata.read(file_with(tmp_path, {"format_version": version}))
    for entries in (
        {},
        {"base": "8"},
        {"base": "x", "depth": "3", "norm": "group"},
        {"model": "{"},
        {"model": "{}"},
        {"model": "[]"},
    ):
        with pytest.raises(FormatError, match="doesn't describe a model"):
            metadata.read(file_with(tmp_path, entries))
    for entries in ({"input": {}}, {"tiles": 3}, {"network": {}}, {"normalization": {"mean": 1}}):
        with pytest.raises(FormatError, match="doesn't describe a model"):
            metadata.read(described(tmp_path, **entries))
    path = tmp_path / "text"
    for data in (b"", b"hello", bytes(100), (2).to_bytes(8, "little") + b"[]", b"\xff" * 20):
        path.write_bytes(data)
        with pytest.raises(FormatError, match="isn't a safetensors file"):
            metadata.read(path)


def test_pipeline_files_are_shipped():
    # In a checkout they are links: a new file needs one, too.
    if PIPELINES.exists():
        assert [path.name for path in sorted(PIPELINES.glob("*.yml"))] == [f"{name}.yml" for name in pipeline_files()]
    assert {"quickstart", "fives", "chase_db1"} <= pipeline_files().keys()
    assert pipeline_file("quickstart").read_text().startswith("# Trains a small U-Net")
    with pytest.raises(KeyError, match="there are .*quickstart"):
        pipeline_file("none")
