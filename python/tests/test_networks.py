"""The networks against references in float64 (`shared/parity`), whose README says how far float32 may be off."""

import json

import pytest

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors")

from pipeline_segmentation.networks import NETWORKS, UNet, build  # noqa: E402

#: In fixtures2.
REFERENCES = ["resunet_group", "wnet_batch", "frunet_instance", "unet_classes_group", "unet_deep_instance", "unet_window_batch"]

#: Options that have other names in the references.
RENAMED = {"deep": "deep_supervision"}


def tensors_and_config(path):
    from safetensors.torch import load_file

    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata()
    return load_file(path), json.loads(metadata["config"]) if "config" in metadata else metadata


def part(tensors, prefix):
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def distance(found, expected):
    return ((found.double() - expected.double()).norm() / expected.double().norm()).item()


@pytest.mark.parametrize("name", REFERENCES)
def test_a_network_is_its_reference(shared, name):
    tensors, config = tensors_and_config(shared / "parity" / "fixtures2" / f"{name}.safetensors")
    sizes = {RENAMED.get(key, key): value for key, value in config["sizes"].items() if key != "cin"}
    network = build(config["network"], **sizes)
    network.load_state_dict(part(tensors, "init."), strict=True)
    assert network.supervised == pytest.approx(config["supervised"])
    batch = config["windows"][0] if name == "unet_window_batch" else [0, 1]
    outputs = network.train().outputs(tensors["x"][batch])
    expected = {"logits": tensors["logits"], **part(tensors, "head.")}
    assert outputs.keys() == expected.keys()
    for head, logits in expected.items():
        error = distance(outputs[head], logits)
        print(f"{name} {head}: {error:.1e}")
        assert error < 1e-5, head
    if "eval.logits" in tensors:
        trained = part(tensors, "window." if name == "unet_window_batch" else "accum.")
        trained.pop("losses")
        network.load_state_dict(trained, strict=True)
        with torch.no_grad():
            error = distance(network.eval()(tensors["x"][:2]), tensors["eval.logits"])
        print(f"{name} in evaluation: {error:.1e}")
        assert error < 1e-5


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_the_plain_u_net_is_its_reference(shared, norm):
    tensors, config = tensors_and_config(shared / "parity" / f"unet_{norm}.safetensors")
    network = UNet(int(config["base"]), int(config["depth"]), norm)
    network.load_state_dict(part(tensors, "init."), strict=True)
    error = distance(network(tensors["x"][: len(tensors["logits"])]), tensors["logits"])
    print(f"U-Net with {norm} norm: {error:.1e}")
    assert error < 1e-5


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_has_the_options_of_files(kind):
    images = torch.rand(2, 3, 16, 24)
    for options in [{}, {"norm": "instance"}, {"norm": "batch", "momentum": 0.2, "eps": 1e-3}, {"norm": "group", "groups": 2}]:
        network = build(kind, base=8, depth=3, classes=3, **options).eval()
        assert network(images).shape == (2, 3, 16, 24)
        assert network.stride == 4
        assert network.supervised.keys() <= network.outputs(images).keys()
    for depth in (1, 2):
        assert build(kind, base=3, depth=depth, groups=1).eval()(images).shape == (2, 1, 16, 24)
    assert [
        norm.eps for norm in build(kind, base=4, depth=1, norm="group", eps=0.5).modules() if isinstance(norm, torch.nn.GroupNorm)
    ][0] == 0.5
    with pytest.raises(ValueError, match="group, batch, instance"):
        build(kind, norm="none")
    with pytest.raises(TypeError, match="bases"):
        build(kind, bases=3)
    with pytest.raises(ValueError, match="unet, resunet, wnet, frunet"):
        build("vnet")


def test_the_papers_sizes():
    def weights(network):
        return sum(parameter.numel() for parameter in network.parameters())

    assert weights(build("wnet")) == 68_482
    assert round(weights(build("frunet")) / 1e6, 2) == 5.72
