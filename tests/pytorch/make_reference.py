#!/usr/bin/env python3
"""Makes a reference for `pipeline verify`: what PyTorch computes, in float64, for a U-Net on random images.
usage: make_reference.py OUT.safetensors [--base 8] [--depth 3] [--norm group|batch|instance] [--size 32] [--seed 1]
Needs torch, safetensors and numpy. 1 MB and some seconds with the defaults.

The file's metadata: base, depth, norm, size. Its tensors, float32 unless said (counters are int64, losses float64):

  init.NAME           the network before training, for each NAME of its state_dict()
  x [8, 3, S, S]      images of values from 0 to 1
  y [8, 1, S, S]      masks of 0 and 1
  logits [2, 1, S, S], loss [1], grad.NAME
                      of x[0:2] in train mode: the logits, the loss `bce_dice`, the gradients
  RUN.losses, RUN.NAME
                      of each training run below: the loss of each window, before its step (float64), and the state_dict() after the last

A run is a list of windows, each a list of micro-batches. A window's gradient is the mean over its samples:

  full    6 windows of one micro-batch of 4, x[0:4] and x[4:8] alternating; SGD, lr 0.05, momentum 0.9, weight decay 0.01
  accum   the same samples in micro-batches of 1
  tail    windows of 3, 3 and 1 samples in micro-batches of 1
  adamw   as accum; AdamW, lr 0.001, betas 0.9 and 0.999, eps 0.001, weight decay 0.01. That large an eps keeps weights whose gradient
          is only rounding from moving by its sign.

Where some seed puts a ReLU's input within rounding of zero, float32 is off by far more than rounding, in PyTorch too (--norm instance
--seed 0: an input of 1.8e-7, a gradient 1.7e-3 off in both). If `pipeline verify` fails by little, try another seed.
"""
import argparse

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from unet import NORMS, UNet, bce_dice

SGD = dict(lr=0.05, momentum=0.9, weight_decay=0.01)
ADAMW = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-3, weight_decay=0.01)


def ones(samples):
    return [slice(sample, sample + 1) for sample in samples]


FOURS = [range(0, 4), range(4, 8)] * 3
RUNS = {
    "full": (torch.optim.SGD, SGD, [[slice(four.start, four.stop)] for four in FOURS]),
    "accum": (torch.optim.SGD, SGD, [ones(four) for four in FOURS]),
    "tail": (torch.optim.SGD, SGD, [ones(range(0, 3)), ones(range(3, 6)), ones(range(6, 7))]),
    "adamw": (torch.optim.AdamW, ADAMW, [ones(four) for four in FOURS]),
}


def train(model, optimizer, windows, x, y):
    """Trains; gives the loss of each window."""
    losses = []
    for window in windows:
        optimizer.zero_grad()
        # All micro-batches of a window have the same number of samples, so the mean over them is that over the samples.
        parts = [bce_dice(model(x[part]), y[part]) / len(window) for part in window]
        for part in parts:
            part.backward()
        optimizer.step()
        losses.append(sum(part.item() for part in parts))
    return losses


def reference(base, depth, norm, size, seed):
    torch.manual_seed(seed)
    torch.set_default_dtype(torch.float64)
    model = UNet(base, depth, norm)
    # Rounded to float32 first, since that is what the file holds.
    rounded = lambda tensor: tensor.float().double() if tensor.is_floating_point() else tensor
    init = {name: rounded(tensor).clone() for name, tensor in model.state_dict().items()}
    x = rounded(torch.rand(8, 3, size, size))
    y = (F.avg_pool2d(torch.rand(8, 1, size, size), 5, 1, 2) > 0.52).double()
    tensors = {f"init.{name}": tensor for name, tensor in init.items()} | {"x": x, "y": y}

    model.load_state_dict(init)
    logits = model(x[:2])
    loss = bce_dice(logits, y[:2])
    loss.backward()
    tensors |= {"logits": logits.detach(), "loss": loss.detach()[None]}
    tensors |= {f"grad.{name}": parameter.grad for name, parameter in model.named_parameters()}

    for run, (optimizer, options, windows) in RUNS.items():
        model = UNet(base, depth, norm)
        model.load_state_dict(init)
        losses = train(model, optimizer(model.parameters(), **options), windows, x, y)
        tensors |= {f"{run}.losses": torch.tensor(losses)}
        tensors |= {f"{run}.{name}": tensor.detach() for name, tensor in model.state_dict().items()}
    is_wide = lambda name, tensor: name == "loss" or name.endswith(".losses") or not tensor.is_floating_point()
    return {name: (tensor if is_wide(name, tensor) else tensor.float()).contiguous() for name, tensor in tensors.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--base", type=int, default=8)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--norm", choices=NORMS, default="group")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    options = vars(parser.parse_args())
    out = options.pop("out")
    metadata = {name: str(value) for name, value in options.items()} | {"torch": torch.__version__}
    save_file(reference(**options), out, metadata)


if __name__ == "__main__":
    main()
