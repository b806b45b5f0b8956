"""What PyTorch's autocast costs: the gradients of a network on images, in half precision against float64.

The network and the images are those of a run that kept them: `--set stages.evaluate.with.tensors=true`; all kept images are
one batch. Beside it, `pipeline verify` of the same weights (`init`) and images says what this program's half precision costs.
usage: autocast.py RUN_FOLDER        (needs torch and safetensors)
"""
import sys, torch
from safetensors import safe_open
from safetensors.torch import load_file
from unet import UNet, bce_dice
run = sys.argv[1]
with safe_open(f"{run}/model.safetensors", "pt") as file: about = file.metadata()
kept = load_file(f"{run}/predictions.safetensors"); names = sorted(key[:-6] for key in kept if key.endswith(".image"))
x = torch.stack([kept[f"{name}.image"].permute(2, 0, 1).float() / 255 for name in names])
y = torch.stack([kept[f"{name}.mask"].float()[None] / 255 for name in names])
def gradients(half=None, wide=torch.float32, scale=1.0):
    model = UNet(int(about["base"]), int(about["depth"]), about["norm"])
    model.load_state_dict(load_file(f"{run}/model.safetensors")); model.to(wide).train()
    with torch.autocast("cpu", half, enabled=half is not None): logits = model(x.to(wide))
    # In float32 after autocast, as PyTorch's documentation has it: losses are not computed in half.
    loss = bce_dice(logits.to(wide), y.to(wide)); (loss * scale).backward()
    return torch.cat([p.grad.double().flatten() for p in model.parameters()]) / scale
exact = gradients(wide=torch.float64)
print(f"{about['norm']} norm, base {about['base']}, depth {about['depth']}, {len(names)} images of {tuple(x.shape[2:])}")
for name, half, scale in [("float32", None, 1.0), ("fp16", torch.float16, 65536.0), ("bf16", torch.bfloat16, 1.0)]:
    print(f"{name}: {((gradients(half, scale=scale) - exact).norm() / exact.norm()).item():.1e}")
