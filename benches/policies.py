#!/usr/bin/env python3
"""What each policy saves and costs: device memory and time of a training pass; settings alternate over several rounds; medians.
usage: policies.py PIPELINE [DEVICE] [ROUNDS]      (PIPELINE: a release build; cpu and 3 unless said)
Writes a Markdown table of a U-Net of base 16 and depth 4 on drawn eyes of 512 x 512. Needs nothing but Python; run it in the
repository's root, with nothing else running."""
import json, statistics, subprocess, sys, tempfile
from pathlib import Path

program, device, rounds = sys.argv[1], (sys.argv[2:] or ["cpu"])[0], int((sys.argv[3:] or ["3"])[0])
settings = [(4, 1, "no", "none"), (1, 4, "no", "none"), (1, 4, "no", "blocks"), (1, 4, "no", "full"), (1, 4, "fp16", "none"),
            (1, 4, "fp16", "blocks"), (1, 4, "fp16", "full"), (1, 4, "bf16", "none"), (1, 4, "bf16", "full")]

def run(batch, steps, precision, checkpointing):
    chosen = {"trainer.device": device, "trainer.num_epochs": 1, "trainer.gradient_accumulation_steps": steps,
              "trainer.mixed_precision": f"'{precision}'", "trainer.gradient_checkpointing": checkpointing, "dataset.drawn.pairs": 12,
              "dataset.drawn.test_pairs": 1, "dataset.drawn.image_size": 512, "dataset.drawn.batch_size": batch,
              "stages.train.with.model": "{unet: {base: 16, depth: 4}}"}
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "run", "pipelines/quickstart.yml", "--quiet", "--out", f"{folder}/run"]
        for key, value in chosen.items():
            command += ["--set", f"{key}={value}"]
        subprocess.run(command, check=True)
        summary = json.loads(Path(folder, "run", "summary.json").read_text())
    # The stages of the device's lane, without waiting for data.
    busy = sum(stage["busy_seconds"] for stage in summary["stages"] if stage["stage"] in ("train", "accum", "optim"))
    return busy / 12, summary["memory"]["device_measured_peak"]

seconds, peaks = {setting: [] for setting in settings}, {}
for _ in range(rounds):
    for setting in settings:
        took, peaks[setting] = run(*setting)
        seconds[setting].append(took)
plain = settings[1]
print("| micro-batch x accumulation | precision | checkpointing | device peak MiB | seconds a sample | of the time of 1 x 4, no, none |\n" + "|---" * 6 + "|")
for setting in settings:
    batch, steps, precision, checkpointing = setting
    ratio = statistics.median(mine / other for mine, other in zip(seconds[setting], seconds[plain]))
    print(f"| {batch} x {steps} | {precision} | {checkpointing} | {peaks[setting] / 2**20:.1f} | {statistics.median(seconds[setting]):.3f} | {ratio:.2f} |")
