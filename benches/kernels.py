#!/usr/bin/env python3
"""Where a device's time goes: the kernels of a short training and their times, from the library's profiling.
usage: kernels.py PIPELINE DEVICE [BASE DEPTH SIZE BATCH PRECISION CHECKPOINTING]      (32 5 1024 1 fp16 none unless said)
Writes a Markdown table. Needs nothing but Python; run it in the repository's root. A profile waits for each kernel, so that the sum is the
kernels' own time, without gaps between them."""
import collections, re, subprocess, sys, tempfile
from pathlib import Path

program, device = str(Path(sys.argv[1]).resolve()), sys.argv[2]
base, depth, size, batch, precision, checkpointing = (sys.argv[3:] + ["32", "5", "1024", "1", "fp16", "none"][len(sys.argv) - 3:])
STEPS = 4
settings = {"trainer.device": device, "trainer.num_epochs": 1, "trainer.gradient_accumulation_steps": 1,
            "trainer.mixed_precision": f"'{precision}'", "trainer.gradient_checkpointing": checkpointing,
            "dataset.drawn.test_pairs": 1, "dataset.drawn.image_size": size,
            "dataset.drawn.batch_size": batch, "stages.train.with.model": f"{{unet: {{base: {base}, depth: {depth}, norm: group}}}}"}
UNITS = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0}


def run(folder, name, steps):
    """A training in a separate folder, where the library finds only its own configuration."""
    command = [program, "run", str(Path("pipelines/quickstart.yml").resolve()), "--quiet", "--out", f"{folder}/{name}"]
    for key, value in (settings | {"dataset.drawn.pairs": steps * int(batch)}).items():
        command += ["--set", f"{key}={value}"]
    subprocess.run(command, check=True, cwd=folder)


def launches(log):
    """Seconds and launches by kernel."""
    seconds, count = collections.Counter(), collections.Counter()
    for duration, unit, name in re.findall(r"^\| ([\d.]+)(ns|µs|ms|s)\s*\| ([\w:]+)", log.read_text(errors="replace"), re.M):
        name = name.split("::")[-1].rstrip(":")
        seconds[name] += float(duration) * UNITS[unit]
        count[name] += 1
    return seconds, count


with tempfile.TemporaryDirectory() as folder:
    # A first run compiles all kernels: compiling isn't part of a step.
    run(folder, "compiled", STEPS)
    figures = []
    for name, steps in (("short", STEPS), ("long", 2 * STEPS)):
        log = Path(folder, f"{name}.log")
        Path(folder, "cubecl.toml").write_text(f'[profiling]\nlogger = {{ level = "full", file = "{log}" }}\n')
        run(folder, name, steps)
        figures.append(launches(log))
# The longer run differs only by its additional steps.
(short, few), (long, many) = figures
seconds = {name: (long[name] - short[name]) / STEPS for name in long}
count = {name: (many[name] - few[name]) / STEPS for name in many}
total = sum(seconds.values())
print(f"Base {base}, depth {depth}, {size} x {size}, micro-batch {batch}, {precision}, {checkpointing}, {device}; "
      f"a step: {1000 * total:.2f} ms in {sum(count.values()):.0f} launches.\n")
print("| kernel | launches a step | ms a step | share |\n|---|---|---|---|")
# The rest is below the noise between two runs.
shown = [name for name in sorted(seconds, key=lambda name: -seconds[name]) if seconds[name] > total / 500]
for name in shown:
    print(f"| {name} | {count[name]:.0f} | {1000 * seconds[name]:.3f} | {100 * seconds[name] / total:.1f}% |")
rest = [name for name in seconds if name not in shown]
print(f"| {len(rest)} others | {sum(count[name] for name in rest):.0f} | {1000 * sum(seconds[name] for name in rest):.3f} | |")
