#!/usr/bin/env python3
"""Whether memory grows with time: many small steps with checkpoints and evaluations. Writes a Markdown table.
usage: growth.py PIPELINE [STEPS]      (PIPELINE: a release build; 20000 steps unless said)
Needs nothing but Python and Linux; run it in the repository's root."""
import json, re, subprocess, sys, tempfile, time
from pathlib import Path

program, steps = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20000
pairs, accumulate = 200, 2
epochs = -(-steps // (pairs // accumulate))
settings = {"dataset.drawn.pairs": pairs, "dataset.drawn.test_pairs": 4, "dataset.drawn.image_size": 32, "dataset.drawn.batch_size": 1,
            "trainer.num_epochs": epochs, "trainer.gradient_accumulation_steps": accumulate, "trainer.device": "cpu",
            "trainer.checkpoint": "{every_steps: 100, keep: 2}", "stages.train.with.model": "{unet: {base: 8, depth: 3, norm: group}}"}
options = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
marks = [500] + [steps * part // 4 for part in (1, 2, 3, 4)]
with tempfile.TemporaryDirectory() as folder:
    run = Path(folder, "run")
    process = subprocess.Popen([program, "run", "pipelines/quickstart.yml", "--quiet", "--out", run, *options])
    print("| step | device MB in use | host MB on its way | process MB resident | open files | threads |\n" + "|---" * 6 + "|")
    file, seen, kept = None, {}, []
    while process.poll() is None or kept:
        if file is None:
            if not (run / "metrics.jsonl").exists():
                time.sleep(0.05)
                continue
            file = open(run / "metrics.jsonl")
        at, line = file.tell(), file.readline()
        if not line.endswith("\n"):
            # Half a line so far.
            file.seek(at)
            if process.poll() is not None:
                break
            time.sleep(0.002)
            continue
        event = json.loads(line)
        if event["event"] == "step" and marks and event["step"] >= marks[0] and process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
                files = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
            except OSError:
                continue
            resident = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024
            threads = int(re.search(r"Threads:\s+(\d+)", status)[1])
            print(f"| {event['step']} | {event['device_bytes'] / 1e6:.2f} | {event['host_bytes'] / 1e6:.3f} | {resident / 1e6:.1f} | {files} | {threads} |", flush=True)
            marks.pop(0)
    summary = json.loads((run / "summary.json").read_text())
    events = [json.loads(line) for line in open(run / "metrics.jsonl")]
    count = lambda name: sum(event["event"] == name for event in events)
    print(f"\n{summary['steps']} steps in {summary['seconds']:.0f} s, {count('checkpoint')} checkpoints, {count('eval')} evaluations")
