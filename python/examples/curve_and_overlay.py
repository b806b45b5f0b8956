#!/usr/bin/env python3
"""Draws a run's training curve beside what its model finds on a photograph.

usage: curve_and_overlay.py RUN_DIR PHOTO OUT.png        (needs pipeline-segmentation[torch], matplotlib and pillow)
"""

import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageOps

import pipeline_segmentation


def curve(axes, run):
    """The loss of each step and the Dice of each evaluation."""
    steps, evaluations = run.rows("step"), run.rows("eval")
    axes.plot([step["samples"] for step in steps], [step["loss"] for step in steps], color="tab:blue", linewidth=0.8)
    axes.set(xlabel="samples", ylabel="loss", title=run.summary.get("name", run.folder.name))
    axes.yaxis.label.set_color("tab:blue")
    dice, trained = axes.twinx(), {step["epoch"]: step["samples"] for step in steps}
    for number, stage in enumerate(dict.fromkeys(line["stage"] for line in evaluations), start=1):
        lines = [line for line in evaluations if line["stage"] == stage]
        places, values = [trained[line["epoch"]] for line in lines], [line["dice"] for line in lines]
        dice.plot(places, values, "o-", color=f"C{number}", label=f"Dice, {lines[0].get('part', stage)}")
    dice.set(ylim=(0, 1), ylabel="Dice")
    if evaluations:
        dice.legend(loc="center right")


def overlay(photograph, classes):
    """The photograph with the pixels of each class but the background in a colour of its own."""
    colours = np.array([[0, 255, 255], [255, 255, 0], [255, 0, 255], [0, 255, 0]])
    picture, found = photograph.copy(), classes > 0
    picture[found] = (picture[found] + 2.0 * colours[(classes[found] - 1) % len(colours)]) / 3
    return picture


def main(folder, photo, out):
    run = pipeline_segmentation.runs.read(folder)
    model = pipeline_segmentation.load(run.model)
    # As the program does, by the orientation that a camera wrote into the file.
    photograph = np.asarray(ImageOps.exif_transpose(Image.open(photo)).convert("RGB"))
    probabilities = model.predict(photograph)
    vessel = probabilities if probabilities.ndim == 2 else 1 - probabilities[0]
    figure, axes = plt.subplots(2, 2, figsize=(11, 10), layout="constrained")
    curve(axes[0, 0], run)
    pictures = [("photograph", photograph), ("probability", vessel), ("overlay", overlay(photograph, model.segment(photograph)))]
    for axis, (title, picture) in zip(axes.flat[1:], pictures):
        axis.imshow(picture, cmap="gray", vmin=0, vmax=1 if picture.ndim == 2 else None)
        axis.set_title(title)
        axis.axis("off")
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
