#!/usr/bin/env python3
"""What checkpoints cost: the share of training time, and their size compared with the plan. Writes Markdown.
usage: checkpoints.py PIPELINE [MINUTES]      (PIPELINE: a release build; four minutes unless said, a checkpoint each)
Needs only Python; run it in the repository's root."""
import json, subprocess, sys, tempfile
from pathlib import Path

program, minutes = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 4
settings = {"dataset.drawn.image_size": 512, "dataset.drawn.pairs": 16, "dataset.drawn.test_pairs": 1, "dataset.drawn.batch_size": 1,
            "trainer.num_epochs": 1000, "trainer.gradient_accumulation_steps": 4, "trainer.device": "cpu",
            "trainer.checkpoint": "{every_minutes: 1, keep: 2, best: false}", "stages.train.with.model": "{unet: {base: 16, depth: 4, norm: group}}"}
options = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
planned = json.loads(subprocess.run([program, "plan", "pipelines/quickstart.yml", "--json", "--quiet", *options], capture_output=True, text=True, check=True).stdout)
with tempfile.TemporaryDirectory() as folder:
    process = subprocess.Popen([program, "run", "pipelines/quickstart.yml", "--quiet", "--out", f"{folder}/run", *options])
    try:
        process.wait(timeout=60 * minutes + 15)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait()
    events = [json.loads(line) for line in open(f"{folder}/run/metrics.jsonl")]
    summary = json.loads(Path(folder, "run", "summary.json").read_text())
taken = [event for event in events if event["event"] == "checkpoint"]
print("| checkpoint | at s | MB on the disk | s to copy | s to write |\n" + "|---" * 5 + "|")
for at, event in enumerate(taken, 1):
    print(f"| {at} | {event['seconds']:.0f} | {event['bytes'] / 1e6:.2f} | {event['copy_seconds']:.4f} | {event['write_seconds']:.3f} |")
copied, written = (sum(event[name] for event in taken) for name in ("copy_seconds", "write_seconds"))
print(f"\n{summary['steps']} steps in {summary['seconds']:.0f} s; training waited {copied / summary['seconds']:.4%} of it, the writing thread worked "
      f"{written / summary['seconds']:.2%}; planned {planned['checkpoints']['bytes'] / 1e6:.2f} MB at most for one")
