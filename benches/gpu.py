"""Writes the Markdown file of gpu.sh, from the folder with the output of each command.
usage: gpu.py FOLDER OUT [--judge]      (--judge: exit 1 when a fixture failed or nothing was measured)"""
import json, math, re, statistics, sys
from pathlib import Path

work, out = Path(sys.argv[1]), Path(sys.argv[2])
MIB = 2**20
about = dict(line.split("=", 1) for line in (work / "about").read_text().splitlines())
warmup, steps, tiny = int(about["warmup"]), int(about["steps"]), about["tiny"] == "yes"
depth, side, devices = int(about["depth"]), int(about["side"]), about["devices"].split()

# TB/s of a card's memory (copies) and TFLOP/s of half precision (large products), by a part of its name.
CARDS = {"H200": (4.2, 750), "H100 80GB HBM3": (3.0, 750), "RTX 4080": (0.7, 97)}


def work_of_a_step(base, depth, side, half):
    """The operations and bytes that a training step with one image can't do without: for each kernel (operations, bytes).

    A convolution of `taps` weights has 2 * taps * inputs * outputs operations for each pixel (of the smaller map, where it
    raises one), in each of its three passes: forward, gradient of its input, gradient of its weights. A pass is one kernel, which
    reads each of its maps once and writes each once. Norm and ReLU cost no pass of their own: they are applied where a map is read,
    and their sums are taken where it is written. So
    - forward reads the input and writes the output;
    - the input's gradient reads the output's gradient and the output, for the norm after it, and the input, for the sums of the norm
      before it, and writes a map of the input's size;
    - the weights' gradient reads the input, the output and the output's gradient.
    Pooling reads its map and writes a quarter; backward it reads both gradients and the map, and writes one. AdamW reads four and
    writes three numbers of 4 bytes for each weight. A map has 2 or 4 bytes a number. Losses, images and casts are left out."""
    size, kernels, weights = 2 if half else 4, [], 0

    def convolution(taps, inputs, outputs, pixels, raise_by=1, norm=True, first=False):
        nonlocal weights
        weights += taps * inputs * outputs
        operations = 2 * taps * inputs * outputs * pixels
        read, written = inputs * pixels * size, outputs * pixels * raise_by * size
        back = written * (2 if norm else 1)
        kernels.append((operations, read + written))
        kernels.append((operations, read + back))
        if not first:
            kernels.append((operations, back + 2 * read))

    for level in range(depth):
        channels, pixels = base << level, (side >> level) ** 2
        convolution(9, channels // 2 if level else 3, channels, pixels, first=level == 0)
        convolution(9, channels, channels, pixels)
        if level < depth - 1:
            whole = channels * pixels * size
            kernels += [(0, whole * 1.25), (0, whole * 3.25)]
            convolution(4, 2 * channels, channels, pixels // 4, raise_by=4, norm=False)
            convolution(9, 2 * channels, channels, pixels)
            convolution(9, channels, channels, pixels)
    convolution(1, base, 1, side**2, norm=False)
    return kernels, weights


def limit(base, batch, accumulation, precision, checkpointing):
    """The least seconds of a step on this card, with its operations and bytes; None on a card that isn't known. A kernel takes the
    longer of its operations and its bytes. Checkpointing is left out: what it repeats is a choice."""
    found = re.match(r"([\d.]+),([\d.]+)$", about["peak"])
    known = [peak for name, peak in CARDS.items() if name in text(work / "card")]
    if checkpointing != "none" or not (found or known):
        return None
    bandwidth, rate = (float(found[1]), float(found[2])) if found else known[0]
    # Without half precision: as TF32, which these cards' specifications have at half of its rate.
    rate = rate if precision != "no" else rate / 2
    kernels, weights = work_of_a_step(int(base), depth, side, precision != "no")
    images, update = int(batch) * int(accumulation), 28 * weights
    seconds = images * sum(max(operations / (rate * 1e12), size / (bandwidth * 1e12)) for operations, size in kernels) + update / (bandwidth * 1e12)
    return {"seconds": seconds, "operations": images * sum(kernel[0] for kernel in kernels),
            "bytes": images * sum(kernel[1] for kernel in kernels) + update}


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


def ours(device, base, batch, accumulation, precision, checkpointing):
    folder = work / "rows" / f"{device}-{base}-{batch}-{accumulation}-{precision}-{checkpointing}"
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
    row |= {"seconds": statistics.median(seconds), "spread": (min(seconds), max(seconds)), "reserved": most("device_bytes_peak"),
            "held": sum(done[-1]["device_peak_by_cause"].values())}
    return row


def theirs(who, base, batch, accumulation, precision, checkpointing):
    folder = work / "rows" / f"{who}-{base}-{batch}-{accumulation}-{precision}-{checkpointing}"
    row = {"why": why_not(folder), "notes": [], "card": card_used(folder)}
    done = re.findall(r"^step \d+ ([\d.]+) s loss (\S+) (.*)$", text(folder / "out"), re.M)
    seconds = [float(second) for second, _, _ in done[warmup:]]
    if not measured(row, seconds):
        return row
    if not all(math.isfinite(float(loss)) for _, loss, _ in done):
        row["notes"].append("a loss isn't finite")
    memory = done[-1][2]
    of = lambda pattern: (lambda found: int(found[1]) * 1e6 if found else None)(re.search(pattern, memory))
    row |= {"seconds": statistics.median(seconds), "spread": (min(seconds), max(seconds)), "allocated": of(r"allocated (\d+) MB"), "reserved": of(r"reserved (\d+) MB"),
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


def window(device):
    """How far a window's float32 gradients are from the CPU's, as text, and whether that is too far."""
    folder, size = work / "window" / device, f"{side} x {side}"
    groups = re.findall(r"^(?:ok|DIFF)\s+(\S+)\s+\S+\s+\S+\s+(\S+)$", text(folder / "out"), re.M)
    if not groups:
        return f"{device} was not compared with the CPU at {size}: {why_not(folder) or 'it gave no figures'}.", False
    worst = max(groups, key=lambda group: (lambda far: math.inf if math.isnan(far) else far)(float(group[1])))
    wrong = "does NOT give the CPU's" in text(folder / "out")
    return (f"Gradients of one image of {size} in float32 on {device} against the CPU's: {dict(groups)['all']} (relative L2), "
            f"{worst[0]} {worst[1]}{': WRONG' if wrong else ''}."), wrong


plan = [line.split() for line in (work / "plan").read_text().splitlines()]
keys = list(dict.fromkeys(tuple(line[1:]) for line in plan))  # a row of the tables each
read = {(who, *key): (theirs if who in ("eager", "compile") else ours)(who, *key) for who, *key in plan}
for key in keys:  # PyTorch has one checkpointing, of each level: it stands beside both of ours
    if key[4] == "full" and ("eager", *key[:4], "blocks") in read:
        read["eager", *key] = read["eager", *key[:4], "blocks"]
fixture_rows, failed = fixtures()
windows = [window(device) for device in devices]
used = [next((read[line]["device"] for line in read if line[0] == device and read[line].get("device")), None) for device in devices]
card = text(work / "card").strip()
torch = text(work / "torch" / "out").split("\n")
no_torch = text(work / "no_torch").strip()
cpu_peer = len(torch) > 2 and torch[2] == "cpu" and not no_torch

page = ["# Measured on a GPU", "",
        f"`benches/gpu.sh --device {','.join(devices)}{' --tiny' if tiny else ''}`, {about['date']}.", ""]
page.append(f"- Card: {card.splitlines()[0]} (name, driver, memory)" if card else "- Card: no `nvidia-smi` here")
page += [f"- `pipeline` on {name}: {device or 'no run said on what'}" for name, device in zip(devices, used)]
if no_torch:
    page.append(f"- PyTorch: not run, {no_torch}")
elif len(torch) > 2:
    page.append(f"- PyTorch: {torch[0]}, on " + ("the CPU, so that its figures only show that this page works"
                                                 if cpu_peer else f"{torch[2]}, CUDA {torch[1]}"))
if any(device and "a software renderer" in device for device in used):
    page.append("- No GPU computed this: the figures say nothing about one.")
page += ["", "## Agreement with PyTorch", "",
         "`pipeline verify FIXTURE`: what PyTorch computed in float64, computed here. Worst is the figure nearest its tolerance.", ""]
page += table(["fixture", "result", "worst", "tolerance"], fixture_rows) if fixture_rows else ["No fixture was verified.", ""]
page += [line for line, _ in windows] + [""]

page += ["## A step's time and memory", "",
         f"U-Net of depth {depth}, group norm, AdamW, images of {side} x {side}; micro-batch x accumulation. {steps} steps each, the "
         f"first {warmup} left out: the median of the others, and their range. Each row is a process of its own for each program. A step "
         "here goes from the end of one to the end of the next and holds all that a run does; PyTorch's images are random, made before "
         "its clock starts. PyTorch has one checkpointing, of each level: it stands beside `blocks` and `full`."]
if not no_torch and not cpu_peer:
    page.append("PyTorch runs automatic mixed precision and channels_last with cuDNN's benchmark, whose trial workspaces count in its "
                "peaks, and at `no` its convolutions may use TF32, its default.")
page.append("")
name = lambda key: [key[0], f"{key[1]} x {key[2]}", key[3], key[4]]
heads = ["base", "window", "precision", "checkpointing"]
short = lambda row: re.split("[:;,]", row["why"])[0] if row["why"] else ""
columns = {device: f"ours, {device}" for device in devices} | {"eager": "PyTorch eager", "compile": "torch.compile"}


def took(row):
    if not row or row["why"]:
        return short(row) if row else ""
    digits = 3 if row["seconds"] >= 0.1 else 4
    low, high = row["spread"]
    return f"{row['seconds']:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


rows, first = [], devices[0]
for key in keys:
    cells, least = {who: read.get((who, *key)) for who in columns}, limit(*key)
    seconds = {who: row.get("seconds") if row else None for who, row in cells.items()}
    floor = least and least["seconds"]
    rows.append(name(key) + [took(cells[who]) for who in columns] + [f"{floor:.4f}" if floor else ""]
                + [ratio(seconds[first], seconds["eager"]), ratio(seconds[first], seconds["compile"]), ratio(seconds[first], floor)])
page += ["Seconds a step:", ""]
page += table(heads + [*columns.values(), "limit", f"{first} / eager", f"{first} / compile", f"{first} / limit"], rows)
floors = {key: limit(*key) for key in keys}
if any(floors.values()):
    said = [f"base {key[0]}, {key[1]} x {key[2]}, {key[3]}: {floor['operations'] / 1e12:.3g} TFLOP, {floor['bytes'] / 1e9:.3g} GB"
            for key, floor in floors.items() if floor]
    page += ["The limit counts the operations of all convolutions, forward and both gradients, and the bytes of all maps, each read and "
             "written as rarely as it can be (`work_of_a_step` in `benches/gpu.py`), at the card's rates. " + "; ".join(said) + ".", ""]
else:
    page += ["No limit: the rates of this card aren't known here, and `--peak` gives none.", ""]

page += ["Memory in MiB. Planned: what `pipeline plan` says. Held: what the network, its optimizer, its maps and their kernels took at "
         "the peak, as `pipeline` itself counts it. Reserved: by the allocator at most."
         + (" Card: the most that `nvidia-smi` saw in use, ten times a second, over what was before." if card else ""), ""]
memory_heads = [f"{device}: {what}" for device in devices for what in ("planned", "held", "reserved", "planned / reserved")]
if cpu_peer:
    memory_heads += [f"{who}: the process, over the import" for who in ("eager", "compile")]
else:
    memory_heads += [f"{who}: {what}" for who in ("eager", "compile") for what in ("allocated", "reserved")]
    memory_heads += [f"reserved: {first} / {who}" for who in ("eager", "compile")]
if card:
    memory_heads += [f"card: {who}" for who in columns]
rows = []
for key in keys:
    cells, row = {who: read.get((who, *key)) for who in columns}, name(key)
    for device in devices:
        mine = cells[device]
        row += [mib(mine["planned"])] + ([short(mine), "", ""] if mine["why"] else
                                         [mib(mine["held"]), mib(mine["reserved"]), ratio(mine["planned"], mine["reserved"])])
    for who in ("eager", "compile"):
        other = cells[who] or {"why": None}
        if cpu_peer:
            row += [short(other) or mib(other.get("process"))]
        else:
            row += [short(other) or mib(other.get("allocated")), mib(other.get("reserved"))]
    if not cpu_peer:
        row += [ratio(cells[first].get("reserved"), (cells[who] or {}).get("reserved")) for who in ("eager", "compile")]
    if card:
        row += [mib(cells[who]["card"]) if cells[who] else "" for who in columns]
    rows.append(row)
page += table(heads + memory_heads, rows)

remarks = {}
for who, *key in plan:
    row = read[who, *key]
    if no_torch and who in ("eager", "compile"):
        continue
    for line in [f"not measured, {row['why']}"] if row["why"] else row["notes"]:
        remarks.setdefault(line, []).append(f"{columns[who]}, base {key[0]}, {key[1]} x {key[2]}, {key[3]}, {key[4]}")
if no_torch:
    remarks[f"not measured, {no_torch}"] = ["PyTorch, all rows"]
page += ["## Not measured, or not all", "", f"All commands together had {about['deadline']} s, each at most {about['row_limit']} s.", ""]
page += [f"- {line}: {'; '.join(rows)}" for line, rows in remarks.items()] or ["Nothing: all rows are whole."]

out.parent.mkdir(parents=True, exist_ok=True)
out.write_text("\n".join(page).rstrip("\n") + "\n")
if "--judge" in sys.argv[3:]:
    if all(read[line]["why"] for line in read if line[0] in devices):
        sys.exit("no row was measured")
    if failed:
        sys.exit("a fixture failed")
    if any(wrong for _, wrong in windows):
        sys.exit("a device's gradients are not the CPU's")
