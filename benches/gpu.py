"""Writes the Markdown file of gpu.sh, from the folder with the output of each command.
usage: gpu.py FOLDER OUT [--judge]      (--judge: exit 1 when a fixture failed or nothing was measured)"""
import json, math, re, statistics, sys
from pathlib import Path

work, out = Path(sys.argv[1]), Path(sys.argv[2])
MIB = 2**20
about = dict(line.split("=", 1) for line in (work / "about").read_text().splitlines())
warmup, steps, tiny = int(about["warmup"]), int(about["steps"]), about["tiny"] == "yes"


def text(path):
    return path.read_text(errors="replace") if path.exists() else ""


def parsed(said):
    """A command that was killed may leave half a line."""
    try:
        return json.loads(said)
    except ValueError:
        return {}


def why_not(folder):
    """Why a command failed, without paths of the machine; None if it succeeded."""
    if not folder.exists():
        return "not reached"
    if (folder / "why").exists():
        return text(folder / "why").strip()
    ended = text(folder / "ended").split()
    if not ended:
        return "not ended"
    code, limit = int(ended[0]), int(ended[1])
    if code == 0:
        return None
    said = text(folder / "err")
    if re.search(r"out of (\w+ )?memory|OutOfMemory", said, re.I):
        return "out of memory"
    if code in (124, 137) and float(ended[3]) - float(ended[2]) >= limit - 1:
        whole = limit == int(about["row_limit"])
        return f"killed after {limit} s" + ("" if whole else ", all that was left")
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ") and not line.startswith("error: help")]
    line = (errors or lines or ["it said nothing"])[-1].removeprefix("error: ")
    line = re.sub(r"(?<![\w.])(?:\.{0,2}/)[^\s:,'\"]*/", "", line).replace("|", "/").replace("`", "'")
    return f"failed (exit {code}): {line[:160]}"


def measured(row, seconds):
    """Whether steps were measured; a row that was killed keeps its steps, with a note."""
    if not seconds:
        row["why"] = row["why"] or "no step was measured"
    elif row["why"]:
        row["notes"].append(f"{row['why']}: {len(seconds)} of {steps - warmup} steps measured")
        row["why"] = None
    return bool(seconds)


def card_used(folder):
    """The card's peak use in bytes, less its use before the first row."""
    numbers = lambda path: [int(word) for word in re.findall(r"(\d+) MiB", text(path))]
    used, before = numbers(folder / "used"), numbers(work / "used_before")
    return (max(used) - before[0]) * MIB if used and before else None


def ours(base, batch, accumulation, precision, checkpointing):
    folder = work / "rows" / f"ours-{base}-{batch}-{accumulation}-{precision}-{checkpointing}"
    row = {"why": why_not(folder), "notes": [], "card": card_used(folder)}
    events = [event for event in map(parsed, text(folder / "run" / "metrics.jsonl").splitlines()) if event]
    row["device"] = parsed(text(folder / "run" / "summary.json")).get("device")
    row["planned"] = next((event.get("device_planned_peak") for event in events if event["event"] == "plan"), None)
    retries = [event for event in events if event["event"] == "retry"]
    if retries:
        # The program continues with a smaller setting, which belongs to another row.
        to = retries[-1].get("to") or {}
        row["why"] = (f"out of memory; it continued with micro-batches of {to.get('micro_batch')}, "
                      f"`gradient_checkpointing` {to.get('gradient_checkpointing')}")
        return row
    done = [event for event in events if event["event"] == "step"]
    # A discarded window has no update, so its time isn't a step's.
    took = [(later["seconds"] - earlier["seconds"], later) for earlier, later in zip(done, done[1:])][warmup - 1:]
    skipped = sum(event["skipped"] for event in done)
    seconds = [second for second, event in took if not event["skipped"]]
    if not measured(row, seconds):
        return row
    if skipped:
        row["notes"].append(f"{skipped} of {len(done)} windows overflowed and were discarded")
    if not all(math.isfinite(event["loss"] if event["loss"] is not None else math.nan) for event in done if not event["skipped"]):
        row["notes"].append("a loss isn't finite")
    hungry = sum(not event["host_by_cause"].get("queue batch -> train") for _, event in took if event is not done[-1] or len(done) < steps)
    if hungry:
        row["notes"].append(f"before {hungry} steps no image was waiting, so their time may hold the drawing of images")
    most = lambda key: max((event[key] for event in done if event.get(key) is not None), default=None)
    row |= {"seconds": statistics.median(seconds), "in_use": most("device_bytes"), "reserved": most("device_bytes_peak"),
            "held": sum(done[-1]["device_peak_by_cause"].values())}
    return row


def theirs(base, batch, accumulation, precision, checkpointing):
    folder = work / "rows" / f"theirs-{base}-{batch}-{accumulation}-{precision}-{checkpointing}"
    row = {"why": why_not(folder), "notes": [], "card": card_used(folder)}
    done = re.findall(r"^step \d+ ([\d.]+) s loss (\S+) (.*)$", text(folder / "out"), re.M)
    seconds = [float(second) for second, _, _ in done[warmup:]]
    if not measured(row, seconds):
        return row
    if not all(math.isfinite(float(loss)) for _, loss, _ in done):
        row["notes"].append("a loss isn't finite")
    memory = done[-1][2]
    of = lambda pattern: (lambda found: int(found[1]) * 1e6 if found else None)(re.search(pattern, memory))
    row |= {"seconds": statistics.median(seconds), "allocated": of(r"allocated (\d+) MB"), "reserved": of(r"reserved (\d+) MB"),
            "process": of(r"(\d+) MB over the import")}
    return row


def mib(size):
    return "" if size is None else f"{size / MIB:.0f}" if size >= 100 * MIB else f"{size / MIB:.2f}"


def ratio(mine, other):
    return f"{mine / other:.2f}" if mine is not None and other else ""


def table(heads, rows):
    return ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|", *("| " + " | ".join(row) + " |" for row in rows), ""]


def fixtures():
    """Rows of the fixtures' table, and whether one failed."""
    rows, failed = [], False
    for folder in sorted(path for path in (work / "fixtures").iterdir() if path.is_dir()):
        figures = re.findall(r"^(ok|FAIL)\s+(\S+)\s+(\S+)\s+(\S+)\s", text(folder / "out"), re.M)
        why, bad = why_not(folder), [figure for figure in figures if figure[0] == "FAIL"]
        if figures and (bad or why is None):
            # NaN is the worst error.
            share = lambda figure: (lambda value: math.inf if math.isnan(value) else value)(float(figure[2]) / float(figure[3]))
            worst = max(figures, key=share)
            failed |= bool(bad)
            verdict = f"FAIL: {', '.join(figure[1] for figure in bad)}" if bad else f"pass, {len(figures)} figures"
            rows.append([folder.name, verdict, f"{worst[1]}: {worst[2]}", worst[3]])
        else:
            failed |= why is not None and why.startswith("failed")
            rows.append([folder.name, why or "it gave no figures", "", ""])
    return rows, failed


def window():
    """How far a window's float32 gradients are from the CPU's, as text, and whether that is too far."""
    groups = re.findall(r"^(?:ok|DIFF)\s+(\S+)\s+\S+\s+\S+\s+(\S+)$", text(work / "window" / "out"), re.M)
    if not groups:
        return f"Not compared with the CPU at {about['side']} x {about['side']}: {why_not(work / 'window') or 'it gave no figures'}.", False
    worst = max(groups, key=lambda group: (lambda far: math.inf if math.isnan(far) else far)(float(group[1])))
    wrong = "does NOT give the CPU's" in text(work / "window" / "out")
    return (f"Gradients of one image of {about['side']} x {about['side']} in float32 against the CPU's: {dict(groups)['all']} (relative L2), "
            f"{worst[0]} {worst[1]}{': WRONG' if wrong else ''}."), wrong


plan = [line.split() for line in (work / "plan").read_text().splitlines()]
pairs = [(key, ours(*key), theirs(*key[:4], "no" if key[4] == "none" else "ck")) for key in plan]
fixture_rows, failed = fixtures()
window_line, wrong = window()
device = next((row["device"] for _, row, _ in pairs if row.get("device")), None)
card = text(work / "card").strip()
torch = text(work / "torch" / "out").split("\n")
no_torch = text(work / "no_torch").strip()
cpu_peer = len(torch) > 2 and torch[2] == "cpu" and not no_torch

page = ["# Measured on a GPU", "",
        f"`benches/gpu.sh --device {about['device']}{' --tiny' if tiny else ''}`, {about['date']}.", ""]
page.append(f"- Card: {card.splitlines()[0]} (name, driver, memory)" if card else "- Card: no `nvidia-smi` here")
page.append(f"- `pipeline` on: {device or 'no run said on what'}")
if no_torch:
    page.append(f"- PyTorch: not run, {no_torch}")
elif len(torch) > 2:
    page.append(f"- PyTorch: {torch[0]}, on " + ("the CPU, so that its figures only show that this page works"
                                                 if cpu_peer else f"{torch[2]}, CUDA {torch[1]}"))
if device and "a software renderer" in device:
    page.append("- No GPU computed this: the figures say nothing about one.")
page += ["", "## Agreement with PyTorch", "",
         "`pipeline verify FIXTURE`: what PyTorch computed in float64, computed here. Worst is the figure nearest its tolerance.", ""]
page += table(["fixture", "result", "worst", "tolerance"], fixture_rows) if fixture_rows else ["No fixture was verified.", ""]
page += [window_line, ""]

page += ["## A step's time and memory", "",
         f"U-Net of depth {about['depth']}, group norm, AdamW, images of {about['side']} x {about['side']}; micro-batch x accumulation. "
         f"{steps} steps each, the first {warmup} left out, medians; each row a separate process, the two programs alternating. A step here "
         "goes from the end of one to the end of the next and holds all that a run does; PyTorch's images are random, made before its "
         "clock starts. PyTorch has one checkpointing, of each level: it stands beside `blocks` and `full`."]
if not no_torch and not cpu_peer:
    page.append("PyTorch runs channels_last with cuDNN's benchmark, whose trial workspaces count in its peaks, and at `no` its "
                "convolutions may use TF32, its default.")
page.append("")
name = lambda key: [key[0], f"{key[1]} x {key[2]}", key[3], key[4]]
heads = ["base", "window", "precision", "checkpointing"]
short = lambda row: re.split("[:;,]", row["why"])[0] if row["why"] else ""
rows = []
for key, mine, other in pairs:
    samples = int(key[1]) * int(key[2])
    rows.append(name(key) + [short(mine) or f"{mine['seconds']:.3f}", "" if mine["why"] else f"{samples / mine['seconds']:.2f}",
                             short(other) or f"{other['seconds']:.3f}", "" if other["why"] else f"{samples / other['seconds']:.2f}",
                             ratio(mine.get("seconds"), other.get("seconds"))])
page += table(heads + ["seconds a step", "samples a second", "PyTorch: seconds", "samples a second", "time: ours / PyTorch"], rows)

page += ["Memory in MiB. Planned: what `pipeline plan` says. Held: what the network, its optimizer, its maps and their kernels took at "
         "the peak, as `pipeline` itself counts it. In use: by the allocator after a step. Reserved: by the allocator at most."
         + (" Card: the most that `nvidia-smi` saw in use, ten times a second, over what was before." if card else ""), ""]
other_heads = ["PyTorch: the process, over the import"] if cpu_peer else ["PyTorch: allocated", "reserved", "reserved: ours / PyTorch"]
card_heads = ["card", "PyTorch: card", "card: ours / PyTorch"] if card else []
rows = []
for key, mine, other in pairs:
    row = name(key) + [mib(mine["planned"])]
    row += [short(mine), "", "", ""] if mine["why"] else [mib(mine["held"]), mib(mine["in_use"]), mib(mine["reserved"]),
                                                          ratio(mine["planned"], mine["reserved"])]
    if cpu_peer:
        row += [short(other) or mib(other["process"])]
    else:
        row += [short(other), "", ""] if other["why"] else [mib(other["allocated"]), mib(other["reserved"]),
                                                            ratio(mine.get("reserved"), other["reserved"])]
    if card:
        row += [mib(mine["card"]), mib(other["card"]), "" if mine["why"] or other["why"] else ratio(mine["card"], other["card"])]
    rows.append(row)
page += table(heads + ["planned", "held", "in use", "reserved", "planned / reserved"] + other_heads + card_heads, rows)

# Both kinds of row, each once: PyTorch's checkpointing stands beside two of ours.
remarks, seen = {}, set()
for key, mine, other in pairs:
    where = f"base {key[0]}, {key[1]} x {key[2]}, {key[3]}"
    peer = f"PyTorch, {where}, {'plain' if key[4] == 'none' else 'checkpointing'}"
    for who, row in ((f"{where}, {key[4]}", mine), (peer, other)):
        if who not in seen and not (no_torch and row is other):
            said = [f"not measured, {row['why']}"] if row["why"] else row["notes"]
            for line in said:
                remarks.setdefault(line, []).append(who)
        seen.add(who)
if no_torch:
    remarks[f"not measured, {no_torch}"] = ["PyTorch, all rows"]
page += ["## Not measured, or not all", "", f"All commands together had {about['deadline']} s, each at most {about['row_limit']} s.", ""]
page += [f"- {line}: {'; '.join(rows)}" for line, rows in remarks.items()] or ["Nothing: all rows are whole."]

out.parent.mkdir(parents=True, exist_ok=True)
out.write_text("\n".join(page).rstrip("\n") + "\n")
if "--judge" in sys.argv[3:]:
    if all(row["why"] for _, row, _ in pairs):
        sys.exit("no row was measured")
    if failed:
        sys.exit("a fixture failed")
    if wrong:
        sys.exit("the device's gradients are not the CPU's")
