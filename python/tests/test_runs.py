"""Runs read from their folders. Needs neither PyTorch nor pandas."""

import json
import sys

import pytest

from pipeline_segmentation import FormatError, runs


def rows(table):
    return table.to_dict("records") if hasattr(table, "to_dict") else table


def written(folder, *lines, end="\n"):
    folder.mkdir(exist_ok=True)
    (folder / "metrics.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + end)
    return folder


START = {"event": "start", "seconds": 0.0, "format": 2, "name": "a", "version": "0.1.0"}


@pytest.mark.parametrize("pandas", [True, False])
def test_a_run_of_the_program(train, monkeypatch, pandas):
    if pandas:
        pytest.importorskip("pandas")
    else:
        monkeypatch.setitem(sys.modules, "pandas", None)
    run = runs.read(train("unet: {base: 4, depth: 2, norm: group, classes: 3}", classes=3))
    assert hasattr(run.steps, "columns") == pandas
    steps, epochs, evaluations, images = (rows(table) for table in (run.steps, run.epochs, run.evaluations, run.images))
    assert [step["step"] for step in steps] == [1, 2] and steps[1]["device_by_cause.weights"] > 0
    assert [epoch["epoch"] for epoch in epochs] == [1] and 0 < epochs[0]["loss"]
    (evaluation,) = evaluations
    assert (evaluation["stage"], evaluation["part"], evaluation["images"]) == ("evaluate", "test", 2)
    assert evaluation["artery:dice"] <= 1.0 and len(evaluation["intervals.dice"]) == 2
    assert run.summary["status"] == "complete" and run.summary["eval"]["dice"] == evaluation["dice"]
    assert "deep_supervision: false" in run.resolved
    assert run.model.name == "model.safetensors"
    # What stands in figures.csv are the images of the last evaluation.
    assert [row["sample"] for row in rows(run.figures)] == [image["sample"] for image in images]
    for row, image in zip(rows(run.figures), images):
        assert row["dice"] == pytest.approx(image["dice"]) and row["height"] == 48 and row["field_of_view"] is False
        assert row["vein:iou"] == pytest.approx(image["vein:iou"])
        assert row.keys() - image.keys() == set()
    assert rows(run.table("end")) == [{"seconds": pytest.approx(run.summary["seconds"], abs=5), "status": "complete"}]


def test_a_run_that_goes_on(tmp_path):
    step = {"event": "step", "seconds": 1.0, "epoch": 1, "step": 1, "loss": None, "device_by_cause": {"weights": 7}}
    folder = written(tmp_path / "run", START, step, {"event": "own", "seconds": 2.0, "x": [1]}, end='\n{"event": "st')
    run = runs.read(folder)
    assert run.rows("step") == [{"seconds": 1.0, "epoch": 1, "step": 1, "loss": None, "device_by_cause.weights": 7}]
    assert run.rows("own") == [{"seconds": 2.0, "x": [1]}]
    assert (run.summary, run.model, len(run.figures), len(run.evaluations)) == ({}, None, 0, 0)
    assert repr(run) == f"Run({str(folder)!r}, 3 events)"


def test_formats_of_other_programs(tmp_path):
    with pytest.raises(FormatError, match="has format 3.*up to 2.*pip install --upgrade"):
        runs.read(written(tmp_path / "new", {**START, "format": 3}))
    with pytest.raises(FormatError, match="format 4"):
        runs.read(written(tmp_path / "resumed", START, {"event": "resume", "seconds": 1.0, "step": 1, "resumes": 1, "format": 4}))
    for name, lines in {"old": [{**START, "format": 1}], "older": [{"event": "step", "seconds": 1.0}]}.items():
        with pytest.warns(UserWarning, match="format 1.*iou_pooled"):
            runs.read(written(tmp_path / name, *lines))


def test_folders_that_hold_no_run(tmp_path):
    with pytest.raises(FileNotFoundError):
        runs.read(tmp_path)
    for line in ("{", "[]", '{"seconds": 1}', '{"event": 3}'):
        (tmp_path / "metrics.jsonl").write_text(f"{json.dumps(START)}\n{line}\n")
        with pytest.raises(FormatError, match="metrics.jsonl:2"):
            runs.read(tmp_path)
