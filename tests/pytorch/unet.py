"""The U-Net and the loss in PyTorch, as `pipeline` trains them. The network is that of the Python package, whose tensors have the names of
`model.safetensors`; the package need not be installed.
"""
import sys
from pathlib import Path

from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python" / "src"))
from pipeline_segmentation.networks import Level, UNet  # noqa: E402

__all__ = ["NORMS", "Level", "UNet", "bce_dice"]

NORMS = ("group", "batch", "instance")


def bce_dice(logits, masks, eps=1e-5):
    """The mean over the samples of binary cross-entropy plus soft Dice: `1 - (2 sum(p y) + eps) / (sum(p) + sum(y) + eps)`."""
    p = logits.sigmoid()
    overlap, total = (p * masks).sum((1, 2, 3)), p.sum((1, 2, 3)) + masks.sum((1, 2, 3))
    dice = 1 - (2 * overlap + eps) / (total + eps)
    return F.binary_cross_entropy_with_logits(logits, masks) + dice.mean()
