"""Loads a run's last.safetensors into PyTorch and compares the probabilities of the run's test images.

The run must have kept them: `--set stages.evaluate.with.tensors=true`.
usage: probabilities.py RUN_FOLDER        (needs torch and safetensors; exits 1 above 1e-4)
"""
import sys, torch
from safetensors import safe_open
from safetensors.torch import load_file
from unet import UNet
run = sys.argv[1]
with safe_open(f"{run}/last.safetensors", "pt") as file: about = file.metadata()
model = UNet(int(about["base"]), int(about["depth"]), about["norm"])
model.load_state_dict(load_file(f"{run}/last.safetensors")); model.eval()
kept = load_file(f"{run}/predictions.safetensors"); worst = 0.0
for name in sorted(key[:-6] for key in kept if key.endswith(".image")):
    x = kept[f"{name}.image"].permute(2, 0, 1)[None].float() / 255
    with torch.no_grad(): p = model(x).sigmoid()[0, 0]
    error = (p - kept[f"{name}.probability"]).abs().max().item(); worst = max(worst, error)
    print(f"{name} {tuple(p.shape)} largest difference {error:.2e}")
sys.exit(worst > 1e-4)
