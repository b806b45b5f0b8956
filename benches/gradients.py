#!/usr/bin/env python3
"""Every combination of norm, precision, checkpointing and accumulation: a window's gradients against the float32 batch of the
same samples, on drawn eyes and, where there are some, on photographs. Writes a Markdown table of relative L2 errors.
usage: gradients.py PIPELINE [FIVES_FOLDER]      (PIPELINE: a release build; run it in the repository's root)
Needs only Python."""
import itertools, re, subprocess, sys

program, fives = sys.argv[1], (sys.argv[2:] or [None])[0]
drawn = ("pipelines/quickstart.yml", {"dataset.drawn.image_size": 128}, "dataset.drawn.batch_size")
photographs = ("pipelines/fives.yml", {"dataset.FIVES.data_root": fives, "dataset.FIVES.image_size": 256, "trainer.device": "cpu"},
               "dataset.FIVES.batch_size")
sets = [("drawn, 128 x 128", *drawn)] + ([("photographs, 256 x 256", *photographs)] if fives else [])
norms, precisions, modes, cuts = ["group", "instance", "batch"], ["no", "fp16", "bf16"], ["none", "blocks", "full"], [(1, 4), (2, 2), (4, 1)]
print("| norm | precision | checkpointing | micro-batch x accumulation |" + "".join(f" {name} |" for name, *_ in sets))
print("|---|---|---|---|" + "---|" * len(sets))
worst = {}
for norm, precision, mode, (batch, steps) in itertools.product(norms, precisions, modes, cuts):
    errors = []
    for name, file, settings, batch_key in sets:
        settings = settings | {batch_key: batch, "trainer.gradient_accumulation_steps": steps, "trainer.mixed_precision": f"'{precision}'",
                               "trainer.gradient_checkpointing": mode,
                               "stages.train.with.model": f"{{unet: {{base: 8, depth: 4, norm: {norm}}}}}"}
        command = [program, "verify", file, "--quiet"]
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]
        done = subprocess.run(command, capture_output=True, text=True)
        line = re.search(r"^(ok|DIFF)\s+all\s+(\S+)\s+(\S+)", done.stdout, re.M)
        if not line:
            sys.exit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        errors.append(float(line[3]))
        # Batch norm over parts is another function, and `verify` must say so; everything else must agree.
        if (done.returncode == 0) != (norm != "batch" or steps == 1):
            sys.exit(f"{' '.join(command)}: an unexpected verdict\n{done.stdout}")
    key = (norm == "batch" and steps > 1, precision)
    worst[key] = max(worst.get(key, 0.0), *errors)
    print(f"| {norm} | {precision} | {mode} | {batch} x {steps} |" + "".join(f" {error:.1e} |" for error in errors), flush=True)
print()
for (parts, precision), error in sorted(worst.items()):
    print(f"worst of {precision}{' with batch norm over parts' if parts else ''}: {error:.1e}")
