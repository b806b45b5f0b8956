"""Where tests find the program and the reference data. What isn't on this machine is skipped, and the reason printed.

PIPELINE_PROGRAM  the program `pipeline`
PIPELINE_SHARED   a folder with `parity` and `data`; by default ../shared beside the checkout
"""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: A small run: drawn photographs, one epoch. Tests fill in the network, what else happens to test images, and the evaluator's options.
PIPELINE = """
name: small
seed: 3
trainer: {{device: cpu, num_epochs: 1}}
stages:
  - {{id: eyes, use: synthetic_fundus, with: {{pairs: 4, size: 48, split: train, classes: {several}}}}}
  - {{id: decode, use: decode, with: {{labels: {labels}}}}}
  {train_resize}
  - {{id: normalize, use: normalize}}
  - {{id: batch, use: batch, with: {{size: 2}}}}
  - {{id: train, use: train_step, with: {{model: {{{model}}}, loss: {loss}}}}}
  - {{id: accum, use: accumulate, with: {{steps: 1}}}}
  - {{id: optim, use: optimizer_step, with: {{adamw: {{lr: 0.01}}}}}}
  - {source}
  - {{id: test_decode, use: decode, with: {{labels: {labels}}}}}
  {resize}
  - {{id: test_normalize, use: normalize}}
  - {{id: test_batch, use: batch}}
  - {{id: evaluate, use: evaluate, needs: [optim, test_batch], with: {{tensors: true, field_of_view: false, {evaluate}}}}}
  - {{id: export, use: export, needs: optim}}
"""


@pytest.fixture(scope="session")
def program() -> str:
    found = os.environ.get("PIPELINE_PROGRAM")
    if not found:
        skip("PIPELINE_PROGRAM doesn't name the program")
    return found


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = Path(os.environ.get("PIPELINE_SHARED", ROOT.parent / "shared"))
    if not folder.exists():
        skip(f"{folder} is not on this machine")
    return folder


@pytest.fixture
def train(program, tmp_path):
    """Runs the small pipeline; gives the run's folder."""

    def run(
        model,
        classes=1,
        source="{id: test_eyes, use: synthetic_fundus, with: {pairs: 2, size: 48, split: test, classes: %s}}",
        resize="",
        evaluate="",
        train_resize="",
    ):
        several = str(classes > 1).lower()
        text = PIPELINE.format(
            model=model,
            several=several,
            labels="{artery: [255, 0, 0], vein: [0, 0, 255]}" if classes > 1 else "{}",
            loss="ce_dice" if classes > 1 else "bce_dice",
            source=source % several if "%s" in source else source,
            resize=resize,
            train_resize=train_resize,
            evaluate=evaluate,
        ).replace(", with: {labels: {}}", "")
        file, out = tmp_path / "small.yml", tmp_path / "run"
        file.write_text(text)
        done = subprocess.run([program, "run", "--quiet", file, "--out", out], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return out

    return run


def skip(reason: str):
    print(f"skipped: {reason}")
    pytest.skip(reason)
