#!/usr/bin/env python3
"""Times training steps of the U-Net in PyTorch on random data: what `benches/gpu.sh` compares `pipeline` with. AdamW, BCE plus Dice.
usage: train_step.py DEVICE BASE DEPTH NORM SIZE BATCH ACCUMULATION {no,fp16,bf16} {no,ck,compile} STEPS
  ck: checkpoint each level; compile: torch.compile. CUDNN_BENCHMARK=0 turns off cuDNN's trials, whose workspaces count in its peaks.
Prints for each optimizer step its seconds, loss and peak memory (CUDA: allocated and reserved; CPU: the process's peak resident set, and less
that after the import of torch). Needs torch."""
import os
import resource
import sys
import time

import torch
from torch.utils.checkpoint import checkpoint

import unet


def resident():
    """The process's peak resident set in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def memory(device, imported):
    if device == "cuda":
        allocated, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
        return f"allocated {allocated / 1e6:.0f} MB reserved {reserved / 1e6:.0f} MB"
    return f"peak RSS {resident():.0f} MB, {resident() - imported:.0f} MB over the import"


def main():
    device, base, depth, norm, size, batch, accumulation, precision, mode, steps = [
        int(word) if word.isdigit() else word for word in sys.argv[1:11]
    ]
    imported = resident()
    if mode == "ck":
        plain = unet.Level.forward
        unet.Level.forward = lambda self, x: checkpoint(plain, self, x, use_reentrant=False)
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = os.environ.get("CUDNN_BENCHMARK") != "0"
    model = unet.UNet(base, depth, norm).to(device)
    if device == "cuda":
        model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    half = {"no": None, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    scaler = torch.amp.GradScaler(device, enabled=precision == "fp16" and device == "cuda")
    run = torch.compile(model) if mode == "compile" else model
    synchronize = torch.cuda.synchronize if device == "cuda" else lambda: None
    for step in range(steps):
        images = torch.rand(accumulation, batch, 3, size, size, device=device)
        masks = (torch.rand(accumulation, batch, 1, size, size, device=device) < 0.1).float()
        synchronize()
        start, total = time.time(), 0.0
        for x, y in zip(images, masks):
            with torch.autocast(device, half, enabled=half is not None):
                logits = run(x)
            loss = unet.bce_dice(logits.float(), y) / accumulation
            scaler.scale(loss).backward()
            total += loss.detach()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        synchronize()
        print(f"step {step} {time.time() - start:.5f} s loss {float(total):.4f} {memory(device, imported)}", flush=True)


if __name__ == "__main__":
    main()
