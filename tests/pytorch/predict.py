#!/usr/bin/env python3
"""Predicts photographs with PyTorch as `pipeline predict` does: the same network, resizing or tiles, and the same three files for each photograph.
usage: predict.py MODEL.safetensors FOLDER OUT [THREADS] [no-overlays]
The model's own card says the size or the tiles. Photographs are decoded and pictures written by threads beside the network, as one would write it with
care. Prints photographs a second, without the start, and the peak of the resident set. Needs torch, numpy, opencv-python-headless, safetensors; tiles
need monai."""
import glob
import json
import os
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch.nn import functional as F

import unet

path, folder, out = sys.argv[1:4]
threads = int(sys.argv[4]) if len(sys.argv) > 4 else os.cpu_count()
overlays = "no-overlays" not in sys.argv
torch.set_num_threads(threads)
cv2.setNumThreads(1)
with safe_open(path, "pt") as file:
    card = json.loads(file.metadata()["model"])
options = card["network"]["unet"]
model = unet.UNet(options["base"], options["depth"], options["norm"])
model.load_state_dict(load_file(path))
model.eval()
if "channels_last" in sys.argv:
    model = model.to(memory_format=torch.channels_last)
mean = torch.tensor(card["normalization"]["mean"]).view(1, 3, 1, 1)
std = torch.tensor(card["normalization"]["std"]).view(1, 3, 1, 1)
for part in ["masks", "probabilities", "overlays"]:
    os.makedirs(f"{out}/{part}", exist_ok=True)


def decode(name):
    return name, cv2.imread(name)


def write(name, photograph, probabilities):
    stem = os.path.splitext(os.path.basename(name))[0]
    fast = [cv2.IMWRITE_PNG_COMPRESSION, 1]
    mask = probabilities > card["threshold"]
    cv2.imwrite(f"{out}/masks/{stem}.png", mask.astype(np.uint8) * 255, fast)
    cv2.imwrite(f"{out}/probabilities/{stem}.png", np.rint(probabilities * 65535).astype(np.uint16), fast)
    if overlays:
        drawn = photograph.copy()
        drawn[mask] = (photograph[mask] * 0.375 + np.array([90, 220, 70]) * 0.625).astype(np.uint8)
        cv2.imwrite(f"{out}/overlays/{stem}.png", drawn, fast)


def predict(photograph):
    height, width = photograph.shape[:2]
    pixels = photograph
    if card["input"]:
        tall, wide = card["input"]["size"]
        pixels = cv2.resize(pixels, (wide, tall), interpolation=cv2.INTER_AREA)
    x = torch.from_numpy(pixels[:, :, ::-1].copy()).permute(2, 0, 1)[None].float().div_(255)
    x = (x - mean) / std
    if card["tiles"]:
        from monai.inferers import sliding_window_inference
        size, overlap = card["tiles"]["size"], card["tiles"]["overlap"]
        p = sliding_window_inference(x, size, 1, lambda tile: model(tile).sigmoid(), overlap=overlap, mode="gaussian")
    else:
        p = model(x).sigmoid()
    if p.shape[2:] != (height, width):
        p = F.interpolate(p, (height, width), mode="bilinear", align_corners=False)
    return p[0, 0].numpy()


names = sorted(sum((glob.glob(f"{folder}/*.{ending}") for ending in ["png", "jpg", "tif"]), []))
started, count = time.time(), 0
with torch.inference_mode(), ThreadPoolExecutor(2) as ahead, ThreadPoolExecutor(2) as behind:
    waiting = [ahead.submit(decode, name) for name in names[:2]]
    writing = []
    for at in range(len(names)):
        name, photograph = waiting.pop(0).result()
        if at + 2 < len(names):
            waiting.append(ahead.submit(decode, names[at + 2]))
        writing.append(behind.submit(write, name, photograph, predict(photograph)))
        while len(writing) > 2:
            writing.pop(0).result()
        count += 1
    for job in writing:
        job.result()
seconds = time.time() - started
print(f"{count} photographs in {seconds:.1f} s, {count / seconds:.2f} a second, {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
