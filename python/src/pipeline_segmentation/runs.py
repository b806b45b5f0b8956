"""What a run of `pipeline` left in its folder: figures, summary, settings. Needs no other package; tables are data frames where pandas is installed.

docs/metrics.md describes the events and their fields.
"""

from __future__ import annotations

import csv
import json
import os
import warnings
from pathlib import Path
from typing import Any, Optional, Union

from .errors import FormatError

#: The newest version of the format of `metrics.jsonl` that this package reads.
FORMAT = 2


class Run:
    """A run's folder.

    Tables (`steps`, `epochs`, `evaluations`, `images`, `figures`, `table`) are pandas data frames; without pandas they are lists of dicts, one for each row.
    """

    def __init__(self, folder: Path, lines: list[dict[str, Any]]):
        self.folder = folder
        self.lines = lines  #: every line of `metrics.jsonl`, as it stands there

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, {len(self.lines)} events)"

    @property
    def steps(self):
        """A row for each optimizer step: `epoch`, `step`, `samples`, `loss`, `lr`, `grad_norm`, ..."""
        return self.table("step")

    @property
    def epochs(self):
        """A row for each epoch: `epoch`, `loss`, `seconds_in_epoch`, `samples_per_second`."""
        return self.table("epoch")

    @property
    def evaluations(self):
        """A row for each evaluation: `epoch`, `stage` (the evaluator's id), `part`, then its metrics, such as `dice`; intervals as `intervals.dice`, figures of
        a class as `artery:dice`."""
        return self.table("eval")

    @property
    def images(self):
        """A row for each image of each evaluation: `epoch`, `stage`, `sample`, `height`, `width`, then its metrics."""
        return self.table("image")

    @property
    def figures(self):
        """`figures.csv`: the images of the first evaluator's last evaluation, the worst first. Empty where the run has measured nothing."""
        return _table(_csv(self.folder / "figures.csv"))

    def table(self, event: str):
        """A row for each line of `metrics.jsonl` of this event, also one of a stage of your own."""
        return _table(self.rows(event))

    def rows(self, event: str) -> list[dict[str, Any]]:
        """The same as a list of dicts, with or without pandas. Objects within a line are flattened."""
        return [_flat(line) for line in self.lines if line["event"] == event]

    @property
    def summary(self) -> dict[str, Any]:
        """`summary.json`; empty while the run hasn't ended."""
        path = self.folder / "summary.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    @property
    def resolved(self) -> str:
        """`resolved.yml`: the pipeline file with every option, as text."""
        return (self.folder / "resolved.yml").read_text(encoding="utf-8")

    @property
    def model(self) -> Optional[Path]:
        """The path of `model.safetensors`, for `pipeline_segmentation.load`; None while there is none."""
        path = self.folder / "model.safetensors"
        return path if path.exists() else None


def read(folder: Union[str, os.PathLike]) -> Run:
    """Reads a run's folder, also of a run that still goes on.

    Warns when an earlier program wrote figures that mean something else today.
    Raises OSError when the folder has no `metrics.jsonl`, and FormatError when a line can't be read or a newer program wrote it.
    """
    path, lines = Path(folder) / "metrics.jsonl", []
    # A line without its end is being written, or was when the machine failed.
    whole = path.read_text(encoding="utf-8").split("\n")[:-1]
    for at, text in enumerate(whole, start=1):
        try:
            line = json.loads(text)
            if not isinstance(line["event"], str):
                raise TypeError("the event's name isn't text")
        except (ValueError, KeyError, TypeError) as error:
            raise FormatError(f"{path}:{at}: this isn't an event of pipeline: {error!r}") from error
        lines.append(line)
    _check_formats(path, lines)
    return Run(Path(folder), lines)


def _check_formats(path: Path, lines: list[dict[str, Any]]) -> None:
    """Looks at the versions of the format. A run that resumes under another program has lines of several; one without a `start` line has the first."""
    formats = {line.get("format", 1) for line in lines if line["event"] in ("start", "resume")}
    if lines and lines[0]["event"] != "start":
        formats.add(1)
    if newer := [version for version in formats if version > FORMAT]:
        raise FormatError(
            f"{path} has format {max(newer)}, and this package reads up to {FORMAT}: pip install --upgrade pipeline-segmentation"
        )
    if 1 in formats:
        warnings.warn(
            f"{path} has lines of format 1: their iou, sensitivity, specificity, accuracy and auc are over the pixels of all images (now iou_pooled, ...)",
            stacklevel=3,
        )


def _flat(line: dict[str, Any]) -> dict[str, Any]:
    """A line's fields without its event, objects flattened: `metrics` stand as if they were fields, figures of a class become `CLASS:FIGURE` as in figures.csv,
    others `FIELD.NAME`."""
    row: dict[str, Any] = {}
    for name, value in line.items():
        if name == "classes" and isinstance(value, dict):
            for of, figures in value.items():
                row.update({f"{of}:{figure}": number for figure, number in figures.items()})
        elif name == "metrics" and isinstance(value, dict):
            row.update(value)
        elif isinstance(value, dict):
            row.update({f"{name}.{key}": entry for key, entry in value.items()})
        elif name != "event":
            row[name] = value
    return row


def _csv(path: Path) -> list[dict[str, Any]]:
    """The rows of a table of figures, numbers as numbers; empty fields are None."""
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return [{name: text if name == "sample" else _value(text) for name, text in row.items()} for row in csv.DictReader(file)]


def _value(text: str) -> Union[None, bool, int, float, str]:
    if text in ("", "true", "false"):
        return {"": None, "true": True, "false": False}[text]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            pass
    return text


def _table(rows: list[dict[str, Any]]):
    """A data frame, or the rows themselves without pandas."""
    try:
        import pandas
    except ImportError:
        return rows
    return pandas.DataFrame(rows)
