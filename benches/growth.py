#!/usr/bin/env python3
"""Whether memory grows over time: many small steps with checkpoints and evaluations. Writes a Markdown table.
usage: growth.py PIPELINE [STEPS]      (PIPELINE: a release build; 20000 steps unless said)
Each row stands for the 500 steps before its step: medians of what was seen about every 20 steps, as single moments differ by what is
on its way and by whether the cleanup at an epoch's end has just been. The first 500 steps are for warming up.
Needs only Python and Linux; run it in the repository's root."""
import json, re, statistics, subprocess, sys, tempfile, time
from pathlib import Path

program, steps = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20000
stretch, every = 500, 20
pairs, accumulate = 200, 2
epochs = -(-steps // (pairs // accumulate))
settings = {"dataset.drawn.pairs": pairs, "dataset.drawn.test_pairs": 4, "dataset.drawn.image_size": 32, "dataset.drawn.batch_size": 1,
            "trainer.num_epochs": epochs, "trainer.gradient_accumulation_steps": accumulate, "trainer.device": "cpu",
            "trainer.checkpoint": "{every_steps: 100, keep: 2}", "stages.train.with.model": "{unet: {base: 8, depth: 3, norm: group}}"}
options = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
ends = sorted({2 * stretch, *(steps * part // 8 for part in range(1, 9))})
seen, first = [], None


def row(end):
    """The medians of the steps before."""
    global first
    inside = [one for one in seen if end - stretch < one[0] <= end]
    seen.clear()
    if not inside:
        return print(f"| {end} | not seen: slower steps or fewer of them |")
    device, host, resident, anonymous, files, threads = (statistics.median(values) for values in list(zip(*inside))[1:])
    first = first or resident
    print(f"| {end} | {device / 1e6:.2f} | {host / 1e6:.3f} | {resident / 1e6:.2f} | {resident / first - 1:+.1%} | {anonymous / 1e6:.2f} "
          f"| {files:.0f} | {threads:.0f} |", flush=True)


with tempfile.TemporaryDirectory() as folder:
    run = Path(folder, "run")
    process = subprocess.Popen([program, "run", "pipelines/quickstart.yml", "--quiet", "--out", run, *options])
    print("| step | device MB in use | host MB on its way | process MB resident | against the first | of it anonymous | open files | threads |\n"
          + "|---" * 8 + "|")
    while not (run / "metrics.jsonl").exists() and process.poll() is None:
        time.sleep(0.05)
    with open(run / "metrics.jsonl") as file:
        last = 0
        while ends:
            at, line = file.tell(), file.readline()
            if not line.endswith("\n"):
                # Half a line so far.
                file.seek(at)
                if process.poll() is not None:
                    break
                time.sleep(0.002)
                continue
            event = json.loads(line)
            if event["event"] != "step":
                continue
            step = event["step"]
            if step - last >= every:
                last = step
                try:
                    status = Path(f"/proc/{process.pid}/status").read_text()
                    files = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
                    figure = lambda name: int(re.search(name + r":\s+(\d+)", status)[1])
                    seen.append((step, event["device_bytes"], event["host_bytes"], figure("VmRSS") * 1024, figure("RssAnon") * 1024,
                                 files, figure("Threads")))
                except (OSError, TypeError):
                    pass  # it has just ended
            if step >= ends[0]:
                row(ends.pop(0))
    process.wait()
    summary = json.loads((run / "summary.json").read_text())
    events = [json.loads(line) for line in open(run / "metrics.jsonl")]
    count = lambda name: sum(event["event"] == name for event in events)
    print(f"\n{summary['steps']} steps in {summary['seconds']:.0f} s, {count('checkpoint')} checkpoints, {count('eval')} evaluations")
