#!/usr/bin/env python3
"""What PyTorch would allocate at most for a training step, by its own tracker on fake tensors: nothing is computed, and no GPU is needed.
usage: memory.py BASE DEPTH SIZE BATCH {no,fp16} {no,ck}      (ck: checkpoint each level, as PyTorch's users do)
It counts neither cuDNN's workspaces nor the allocator's rounding, and casts as autocast does on the CPU, which leaves group norm in half where CUDA's
makes it float32: a real card takes more. Needs torch."""
import sys

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.utils.checkpoint import checkpoint

import unet

base, depth, size, batch, precision, mode = [int(word) if word.isdigit() else word for word in sys.argv[1:7]]

if mode == "ck":
    plain = unet.Level.forward
    unet.Level.forward = lambda self, x: checkpoint(plain, self, x, use_reentrant=False, preserve_rng_state=False)
with FakeTensorMode():
    model = unet.UNet(base, depth, "group")
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    tracker = MemTracker()
    tracker.track_external(model, optimizer)
    with tracker:
        # The optimizer's memory is there from the second step on.
        for _ in range(2):
            x, y = torch.empty(batch, 3, size, size), torch.empty(batch, 1, size, size)
            with torch.autocast("cpu", torch.float16, enabled=precision == "fp16"):
                logits = model(x)
            unet.bce_dice(logits.float(), y).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            tracker.reset_mod_stats()
    for peak in tracker.get_tracker_snapshot("peak").values():
        print({str(cause).split(".")[-1]: f"{size / 2**20:.0f} MiB" for cause, size in peak.items()})
