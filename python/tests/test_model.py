"""Models against the program: its own predictions, the pictures that its networks see, and its figures at the photographs' own size."""

import dataclasses
import subprocess

import pytest

torch = pytest.importorskip("torch")
np = pytest.importorskip("numpy")
Image = pytest.importorskip("PIL.Image")
safetensors = pytest.importorskip("safetensors.numpy")

from conftest import skip  # noqa: E402
from pipeline_segmentation import FormatError, load, metadata, runs  # noqa: E402
from pipeline_segmentation.metadata import Input, Normalization, Tiles  # noqa: E402
from pipeline_segmentation.model import Model  # noqa: E402
from pipeline_segmentation.networks import UNet, build  # noqa: E402
from pipeline_segmentation.resize import to_network  # noqa: E402
from pipeline_segmentation.tiles import cut, starts, weights  # noqa: E402

#: What `normalize` does without options.
IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

NETWORKS = {
    "unet: {base: 4, depth: 3}": 1,
    "unet: {base: 4, depth: 3, norm: batch, eps: 0.001}": 1,
    "unet: {base: 4, depth: 3, norm: group, groups: 2, classes: 3}": 3,
    "unet: {base: 4, depth: 4, norm: instance, deep_supervision: true}": 1,
    "resunet: {base: 8, depth: 3}": 1,
    "resunet: {base: 4, depth: 3, norm: batch, classes: 3}": 3,
    "wnet: {base: 4, depth: 3}": 1,
    "wnet: {base: 4, depth: 3, norm: group, feed: logits, classes: 3}": 3,
    "frunet: {base: 4, depth: 3}": 1,
    "frunet: {base: 4, depth: 2, norm: group, classes: 3}": 3,
}


def loaded(run, **about):
    """The run's model. Early files don't say what is done with a photograph, so the tests do."""
    model = load(run / "model.safetensors")
    said = dataclasses.replace(
        metadata.read(run / "model.safetensors"), **{"normalization": IMAGENET, "trained_size": None, **about}
    )
    return Model(model.network, said)


def kept(run):
    """Image, mask and probabilities of each test image, by its name, as the program kept them."""
    tensors = safetensors.load_file(run / "predictions.safetensors")
    names = sorted({name.rsplit(".", 1)[0] for name in tensors})
    return {name: [tensors[f"{name}.{what}"] for what in ("image", "mask", "probability")] for name in names}


@pytest.mark.parametrize("network", NETWORKS)
def test_predictions_are_the_programs(train, network):
    run = train(network, classes=NETWORKS[network])
    model, images = loaded(run), kept(run)
    assert len(images) == 2 and model.training is False and model.network.training is False
    for image, _, expected in images.values():
        found = model.predict(image)
        assert (found.dtype, found.shape) == (np.float32, expected.shape)
        error = np.abs(found - expected).max()
        print(f"{network}: {error:.1e}")
        assert error < 1e-5
        classes = model.segment(image)
        assert classes.dtype == np.uint8 and set(np.unique(classes)) <= {0, 1, 2}


@pytest.mark.parametrize(
    "network, tiles",
    [
        ("unet: {base: 4, depth: 3}", Tiles((32, 24), 0.5)),
        ("unet: {base: 4, depth: 3}", Tiles((64, 96), 0.25)),
        ("wnet: {base: 4, depth: 3, classes: 3}", Tiles((20, 20), 0.3)),
    ],
)
def test_tiles_are_the_programs(train, network, tiles):
    classes = 3 if "classes" in network else 1
    run = train(network, classes, evaluate=f"tiles: {{size: {list(tiles.size)}, overlap: {tiles.overlap}}}")
    model = loaded(run, tiles=tiles)
    for image, _, expected in kept(run).values():
        error = np.abs(model.predict(image) - expected).max()
        print(f"{network} in tiles of {tiles.size}: {error:.1e}")
        assert error < 1e-5


@pytest.mark.parametrize(
    "network, resize",
    [
        ("unet: {base: 4, depth: 3}", None),
        ("wnet: {base: 4, depth: 3}", "{size: [64, 48], fit: pad, filter: lanczos3}"),
        ("unet: {base: 4, depth: 2, classes: 3}", "{size: 32}"),
    ],
)
def test_the_file_says_what_pipeline_predict_does(program, train, tmp_path, network, resize):
    if subprocess.run([program, "predict", "--help"], capture_output=True).returncode != 0:
        skip("this program has no `predict`")
    classes = 3 if "classes" in network else 1
    stages = [f"- {{id: {name}, use: resize, with: {resize}}}" if resize else "" for name in ("resize", "test_resize")]
    run, photograph = train(network, classes, train_resize=stages[0], resize=stages[1]), tmp_path / "photographs" / "a.png"
    photograph.parent.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    image = np.asarray(Image.fromarray(pixels).resize((107, 121), Image.Resampling.BICUBIC))
    Image.fromarray(image).save(photograph)
    done = subprocess.run([program, "predict", run, photograph, "--out", tmp_path / "out"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    model = load(run / "model.safetensors")
    found = model.predict(image)
    assert model.classes == (["background", "artery", "vein"] if classes == 3 else ["background", "vessel"])
    assert model.epoch == 1 and model.figures["evaluate"]["part"] == "test" and model.run["name"] == "small"
    written = sorted((tmp_path / "out" / "probabilities").rglob("*.png"))
    assert len(written) in (1, classes, classes - 1), written
    for path in written:
        of = next((at for at, name in enumerate(model.classes) if name in str(path.relative_to(tmp_path / "out"))), None)
        expected = np.asarray(Image.open(path)) / 65535
        error = np.abs((found if classes == 1 else found[of]) - expected).max()
        print(f"{network} {path.name}: {error:.1e}")
        assert error < 1e-5 + 0.5 / 65535


def test_tiles_are_monai_s(shared):
    """The reference pads with zeros, so only images of at least a tile are compared."""
    import json

    path = shared / "parity" / "fixtures2" / "tiles.safetensors"
    tensors = safetensors.load_file(path)
    config = json.loads(metadata.header(path)["__metadata__"]["config"])
    sizes = {key: value for key, value in config["sizes"].items() if key not in ("cin", "deep")}
    network = build(config["network"], **sizes)
    network.load_state_dict({name[5:]: torch.from_numpy(tensor) for name, tensor in tensors.items() if name.startswith("init.")})
    compared = 0
    for case in config["cases"]:
        (height, width), size, name = case["size"], tuple(case["window"]), case["name"]
        assert np.abs(weights(*size).numpy() - tensors[f"{name}.weights"]).max() < 1e-6
        if height < size[0] or width < size[1]:
            continue
        for side, tile, places in [(height, size[0], "rows"), (width, size[1], "columns")]:
            assert starts(side, tile, case["overlap"]) == tensors[f"{name}.{places}"].tolist()
        model = Model(network, metadata.Metadata(config["network"], {}, tiles=Tiles(size, case["overlap"])))
        photograph = next(tensor for key, tensor in tensors.items() if tensor.dtype == np.uint8)
        image = photograph.transpose(1, 2, 0)[:height, :width] if photograph.shape[0] == 3 else photograph[:height, :width]
        error = np.abs(model.predict(np.ascontiguousarray(image)) - tensors[f"{name}.probabilities"].squeeze())
        print(f"tiles {name}: {error.max():.1e}, on average {error.mean():.1e}")
        assert error.max() < 4e-4 and error.mean() < 3e-6
        compared += 1
    assert compared > 0


def test_beyond_the_edges_an_image_is_reflected():
    row = np.array([[7, 8, 9]])
    assert cut(row, (0, -2), (1, 8)).tolist() == [[9, 8, 7, 8, 9, 8, 7, 8]]
    assert cut(np.array([[5]]), (-1, 0), (2, 2)).tolist() == [[5, 5], [5, 5]]


@pytest.mark.parametrize("filter", ["bilinear", "catmull_rom", "lanczos3", "box"])
@pytest.mark.parametrize("fit, size", [("stretch", (160, 192)), ("pad", (208, 144)), ("pad", (1040, 1104))])
def test_photographs_are_resized_and_brought_back_as_by_the_program(shared, train, tmp_path, filter, fit, size):
    # As PNG, since decoders of JPEG differ by rounding.
    photographs = {}
    for name in ("01L", "02R"):
        for what, mode in [("", "RGB"), ("_1stHO", "L")]:
            (path,) = (shared / "data" / "CHASE_DB1").glob(f"Image_{name}{what}.*")
            picture = Image.open(path).convert(mode)
            picture.save(tmp_path / f"{name}{what}.png")
            photographs[name + what] = np.asarray(picture)
    files = f'root: {tmp_path}, image: "{{name:[0-9]+[LR]}}.png", mask: "{{name}}_1stHO.png"'
    run = train(
        "unet: {base: 2, depth: 2}",
        source=f"{{id: test_eyes, use: image_pairs, with: {{{files}}}}}",
        resize=f"- {{id: test_resize, use: resize, with: {{size: {list(size)}, fit: {fit}, filter: {filter}}}}}",
    )
    wanted = Input(size, fit, filter)
    model, figures = loaded(run, input=wanted), {row["sample"]: row for row in runs.read(run).rows("image")}
    for name, (image, _, _) in kept(run).items():
        photograph, truth = photographs[name], photographs[f"{name}_1stHO"] > 127
        seen, _ = to_network(photograph, wanted)
        off = np.abs(seen.astype(int) - image)
        segmented = model.segment(photograph)
        dice = 2 * (segmented & truth).sum() / (segmented.sum() + truth.sum())
        there = figures[name]["dice"]
        print(
            f"{fit} {size} {filter}: pixels off by at most {off.max()}, {(off > 0).mean():.3%} of them; Dice {dice:.7f} and {there:.7f}"
        )
        assert off.max() == 0
        assert segmented.shape == photograph.shape[:2]
        assert dice == pytest.approx(there, abs=1e-5)


def test_an_image_of_any_size_is_predicted_whole():
    torch.manual_seed(0)
    model = Model(UNet(base=2, depth=3), metadata.Metadata("unet", {}))
    image = np.random.default_rng(0).integers(0, 256, (21, 34, 3), np.uint8)
    found = model.predict(image)
    assert found.shape == (21, 34) and found.dtype == np.float32
    larger = model.predict(cut(image, (-1, -1), (24, 36)))
    assert np.array_equal(found, larger[1:22, 1:35])
    for wrong in (image.astype(np.float32), image[..., 0], image[..., :2], image[:0]):
        with pytest.raises(ValueError, match="uint8"):
            model.predict(wrong)


def test_a_file_says_how_photographs_are_predicted(tmp_path):
    import json

    from safetensors.torch import save_file

    torch.manual_seed(0)
    network, path = UNet(base=2, depth=2), tmp_path / "model.safetensors"
    about = {
        "network": {
            "unet": {
                "base": 2,
                "depth": 2,
                "norm": "group",
                "groups": 8,
                "eps": 1e-5,
                "momentum": 0.1,
                "classes": 1,
                "deep_supervision": False,
            }
        },
        "input": {"size": [40, 48], "fit": "pad", "filter": "bilinear"},
        "normalization": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1]},
        "classes": ["background", "vessel"],
        "threshold": 0.25,
        "tiles": {"size": [16, 16], "overlap": 0.5},
        "epoch": 3,
    }
    save_file(network.state_dict(), path, {"format": "pipeline model", "format_version": "1", "model": json.dumps(about)})
    model, image = load(path), np.random.default_rng(0).integers(0, 256, (60, 50, 3), np.uint8)
    assert (model.classes, model.threshold, model.epoch, model.figures) == (["background", "vessel"], 0.25, 3, {})
    normalization = Normalization((0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
    said = metadata.Metadata(
        "unet", {}, normalization=normalization, input=Input((40, 48), "pad", "bilinear"), tiles=Tiles((16, 16), 0.5)
    )
    found = model.predict(image)
    assert np.array_equal(found, Model(network, said).predict(image)) and found.shape == (60, 50)
    assert np.array_equal(model.segment(image), found > 0.25)
    for left_out in ("input", "normalization", "tiles"):
        other = Model(network, dataclasses.replace(said, **{left_out: None}))
        assert np.abs(other.predict(image) - found).max() > 1e-3, left_out


def test_files_of_other_networks_are_refused(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "model.safetensors"
    about = {"base": "2", "depth": "2", "norm": "group"}
    tensors = UNet(base=2, depth=2).state_dict()
    save_file(tensors, path, about)
    assert load(path).threshold == 0.5 and load(str(path)).normalization == Normalization()
    for wrong, match in [
        ({"depth": "3"}, "Missing key"),
        ({"base": "4"}, "size mismatch"),
        ({"network": "vnet"}, "no network is named 'vnet'"),
        ({"feed": "logits"}, "feed"),
    ]:
        save_file(tensors, path, {**about, **wrong})
        with pytest.raises(FormatError, match=match):
            load(path)
