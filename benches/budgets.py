#!/usr/bin/env python3
"""What the fit chooses for budgets, each checked by a run that must stay within it. Writes a Markdown table.
usage: budgets.py PIPELINE [FIVES_FOLDER] [BUDGET ...]      (PIPELINE: a release build; budgets such as 400MiB)
Uses photographs if a folder is given, otherwise drawn eyes. Needs only Python; run it in the repository's root."""
import json, subprocess, sys, tempfile
from pathlib import Path

program, rest = sys.argv[1], sys.argv[2:]
fives = rest.pop(0) if rest and Path(rest[0]).is_dir() else None
budgets = rest or ["1GiB", "300MiB", "150MiB", "120MiB", "108MiB", "60MiB"]
if fives:
    file, settings = "pipelines/fives.yml", {"dataset.FIVES.data_root": fives, "dataset.FIVES.image_size": 512,
                                             "dataset.FIVES.batch_size": 4, "trainer.device": "cpu"}
else:
    file, settings = "pipelines/quickstart.yml", {"dataset.drawn.image_size": 512, "dataset.drawn.batch_size": 4,
                                                  "dataset.drawn.pairs": 8, "dataset.drawn.test_pairs": 1}
settings |= {"trainer.num_epochs": 1, "trainer.gradient_accumulation_steps": 1, "trainer.mixed_precision": "'no'",
             "stages.train.with.model": "{unet: {base: 16, depth: 4, norm: group}}"}
print("| budget | may change | micro-batch | precision | checkpointing | planned MiB | measured MiB | of the budget | "
      "estimated s a window | measured |\n" + "|---" * 10 + "|")
for budget in budgets:
    for free in ["[micro_batch, gradient_checkpointing]", "[micro_batch, gradient_checkpointing, mixed_precision]"]:
        asked = settings | {"trainer.memory_budget": budget, "trainer.fit_may_change": free}
        options = [word for key, value in asked.items() for word in ("--set", f"{key}={value}")]
        what = "all" if "mixed" in free else "not precision"
        planned = json.loads(subprocess.run([program, "plan", file, "--json", "--quiet", *options], capture_output=True, text=True).stdout)
        fit = planned["fit"]
        if fit["smallest_budget"]:
            print(f"| {budget} | {what} | nothing fits: at least {fit['smallest_budget'] / 2**20:.0f} MiB, or images of {fit['largest_image']} | | | | | | | |", flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([program, "run", file, "--quiet", "--out", f"{folder}/run", *options], check=True)
            summary = json.loads(Path(folder, "run", "summary.json").read_text())
            chosen = json.loads(subprocess.run([program, "plan", f"{folder}/run/resolved.yml", "--json", "--quiet"],
                                               capture_output=True, text=True, check=True).stdout)["settings"]
        memory, measured = summary["memory"], summary["memory"]["device_measured_peak"]
        estimated = next(candidate["seconds"] for candidate in fit["candidates"] if candidate["why_not"] is None)
        took = sum(stage["busy_seconds"] for stage in summary["stages"] if stage["stage"] == "train") / summary["steps"]
        print(f"| {budget} | {what} | {chosen['micro_batch']} x {chosen['gradient_accumulation_steps']} | {chosen['mixed_precision']} | "
              f"{chosen['gradient_checkpointing']} | {memory['device_planned_peak'] / 2**20:.1f} | {measured / 2**20:.1f} | "
              f"{measured / fit['budget']:.2f} | {estimated:.2f} | {took:.2f} |", flush=True)
        if measured > fit["budget"]:
            sys.exit("the budget was not held")
