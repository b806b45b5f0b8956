#!/usr/bin/env python3
"""Plans compared with runs: for each of 27 settings of a U-Net and 12 of the other networks, the device's memory by `pipeline plan` and as a run of two steps allocates it.
usage: memory.py PIPELINE [DEVICE]      (PIPELINE: a release build; DEVICE: cpu unless said)
Writes a Markdown table. Needs only Python; run it in the repository's root."""
import itertools, json, subprocess, sys, tempfile
from pathlib import Path

program, device = sys.argv[1], (sys.argv[2:] or ["cpu"])[0]
shapes = [(8, 128, 1), (8, 256, 2), (8, 512, 4), (16, 128, 4), (16, 256, 1), (16, 512, 2), (32, 128, 2), (32, 256, 4), (32, 512, 1)]
policies = list(itertools.product(["no", "fp16", "bf16"], ["none", "blocks", "full"], ["group", "batch"]))
# The other networks, each in every checkpointing mode and with every precision: name, options, image size, batch.
others = [("resunet", "base: 16, depth: 4", 256, 2), ("wnet", "base: 8, depth: 3", 512, 2), ("frunet", "base: 8, depth: 4", 256, 1),
          ("unet", "base: 16, depth: 4, deep_supervision: true", 256, 2)]
settings = []
for at, (base, size, batch) in enumerate(shapes * 3):
    # Covers every policy; each round over the shapes combines them differently.
    precision, checkpointing, norm = policies[(7 * at + at // len(shapes)) % len(policies)]
    settings.append(("unet", f"base: {base}, depth: 4, norm: {norm}", size, batch, precision, checkpointing))
for at, (name, options, size, batch) in enumerate(others):
    for mode, checkpointing in enumerate(["none", "blocks", "full"]):
        settings.append((name, options, size, batch, ["no", "fp16", "bf16"][(at + mode) % 3], checkpointing))
print("| network | options | size | batch | precision | checkpointing | planned MiB | measured MiB | planned / measured |\n|" + "---|" * 9)
ratios = []
for name, options, size, batch, precision, checkpointing in settings:
    given = {"trainer.device": device, "trainer.num_epochs": 1, "trainer.mixed_precision": f"'{precision}'",
             "trainer.gradient_checkpointing": checkpointing, "trainer.gradient_accumulation_steps": 1,
             "dataset.drawn.pairs": 2 * batch, "dataset.drawn.test_pairs": 1, "dataset.drawn.image_size": size,
             "dataset.drawn.batch_size": batch, "stages.train.with.model": f"{{{name}: {{{options}}}}}"}
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "run", "pipelines/quickstart.yml", "--quiet", "--out", f"{folder}/run"]
        for key, value in given.items():
            command += ["--set", f"{key}={value}"]
        subprocess.run(command, check=True)
        memory = json.loads(Path(folder, "run", "summary.json").read_text())["memory"]
    planned, measured = memory["device_planned_peak"], memory["device_measured_peak"]
    ratios.append(planned / measured)
    print(f"| {name} | {options} | {size} | {batch} | {precision} | {checkpointing} | {planned / 2**20:.1f} | {measured / 2**20:.1f} | {planned / measured:.3f} |", flush=True)
print(f"\n{len(ratios)} settings, planned / measured from {min(ratios):.3f} to {max(ratios):.3f}")
