"""The networks of `pipeline` as PyTorch modules. A `state_dict()` has the names and shapes of the tensors in `model.safetensors`.

Every network takes images `[batch, 3, height, width]`, normalised, whose sides are multiples of `stride`. `forward` gives the logits `[batch, classes,
height, width]`; `outputs` gives those of all heads by name, `logits` first; `supervised` has the weight of each head in the loss.
Options and defaults are those of `pipeline stages train_step`.
"""

from .frunet import FRUNet
from .resunet import ResUNet
from .unet import Level, UNet
from .wnet import WNet

#: The networks by their names in pipeline files.
NETWORKS = {"unet": UNet, "resunet": ResUNet, "wnet": WNet, "frunet": FRUNet}

__all__ = ["NETWORKS", "FRUNet", "Level", "ResUNet", "UNet", "WNet", "build"]


def build(kind: str, **options):
    """The network of a kind, `unet`, `resunet`, `wnet` or `frunet`, with its options as under `model:` in a pipeline file.

    Raises ValueError when there is no such network, and TypeError when it has no such option.
    """
    if kind not in NETWORKS:
        raise ValueError(f"no network is named {kind!r}; there are {', '.join(NETWORKS)}")
    return NETWORKS[kind](**options)
