#!/usr/bin/env python3
"""Runs ONNX files in onnxruntime and compares the probabilities with those that `pipeline` computed.

A folder holds NAME.onnx and NAME.safetensors, with pairs `image.0` (uint8 [batch, 3, height, width]) and `probabilities.0`
(float32 [batch, classes, height, width]), `image.1` and so on, of different sizes. `stages/training/tests/onnx.rs` writes such folders.
usage: run_onnx.py FOLDER        (needs numpy, onnx, onnxruntime and safetensors; exits 1 above 1e-5)
"""
import glob
import json
import os
import sys

import numpy
import onnx
import onnxruntime
from safetensors.numpy import load_file

paths, worst = sorted(glob.glob(f"{sys.argv[1]}/*.onnx")), 0.0
for path in paths:
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    about = {entry.key: entry.value for entry in model.metadata_props}
    json.loads(about["model"]), json.loads(about["normalization"])
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    kept, error = load_file(path.removesuffix(".onnx") + ".safetensors"), 0.0
    images = sorted(key for key in kept if key.startswith("image."))
    assert images, f"{path} has no images beside it"
    for key in images:
        expected = kept[key.replace("image", "probabilities")]
        (actual,) = session.run(["probabilities"], {"image": kept[key]})
        assert actual.shape == expected.shape and actual.dtype == numpy.float32, f"{path}: {actual.shape} {actual.dtype}"
        assert expected.std() > 1e-3, f"{path}: the probabilities say nothing"
        error = max(error, float(numpy.abs(actual - expected).max()))
    worst = max(worst, error)
    print(f"{os.path.basename(path):40} {len(model.graph.node):4} operators, largest difference {error:.1e}")
print(f"{len(paths)} files, onnxruntime {onnxruntime.__version__}: largest difference {worst:.1e}")
sys.exit(not paths or not worst <= 1e-5)
