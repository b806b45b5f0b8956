#!/usr/bin/env python3
"""Trains the U-Net of `pipelines/chase_db1_patches.yml` in PyTorch: the same network, patches, augmentation, optimizer, schedule and figures; other random numbers.
usage: patches.py FOLDER_OF_CHASE_DB1 SEED TEST_CHILDREN [EPOCHS] [BASE] [PATCH]        (TEST_CHILDREN such as 03,04)
Prints a line an epoch, then for each test photograph, at its own size and over all pixels,
Dice and clDice, their means, the seconds and the peak of the resident set. Needs torch, numpy, opencv-python-headless and scikit-image."""
import glob
import math
import os
import random
import resource
import sys
import time

import cv2
import numpy as np
import torch
from skimage.morphology import skeletonize

import unet

folder, seed, held_out = sys.argv[1], int(sys.argv[2]), {int(child) for child in sys.argv[3].split(",")}
epochs, base, side = [int(word) for word in sys.argv[4:] + ["60", "16", "288"][len(sys.argv) - 4:]]
PER_IMAGE, BATCH, DEPTH, LR, WARMUP = 4, 4, 4, 4e-3, 16
random.seed(seed)
np.random.seed(seed)
torch.manual_seed(seed)


def read(stem):
    image = cv2.imread(f"{folder}/{stem}.jpg")[:, :, ::-1]
    return image, (cv2.imread(f"{folder}/{stem}_1stHO.png", 0) > 127).astype(np.uint8)


def stems(children):
    found = sorted(os.path.basename(path)[:-4] for path in glob.glob(f"{folder}/Image_*.jpg"))
    return [stem for stem in found if int(stem[6:8]) in children]


def patch(image, mask):
    """One patch, half of them centred on a vessel pixel; flipped, turned, zoomed and recoloured."""
    height, width = mask.shape
    if random.random() < 0.5:
        ys, xs = np.nonzero(mask)
        at = random.randrange(len(ys))
        top, left = ys[at] - side // 2, xs[at] - side // 2
    else:
        top, left = random.randint(0, height - side), random.randint(0, width - side)
    top, left = min(max(top, 0), height - side), min(max(left, 0), width - side)
    x, y = image[top:top + side, left:left + side], mask[top:top + side, left:left + side] * 255
    if random.random() < 0.5:
        x, y = x[::-1], y[::-1]
    if random.random() < 0.5:
        x, y = x[:, ::-1], y[:, ::-1]
    quarters = random.randrange(4)
    x, y = np.rot90(x, quarters).copy(), np.rot90(y, quarters).copy()
    turn = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), random.uniform(-30, 30), random.uniform(0.9, 1.1))
    x, y = cv2.warpAffine(x, turn, (side, side)), cv2.warpAffine(y, turn, (side, side))
    x = x.astype(np.float32) / 255 * random.uniform(0.8, 1.2) + random.uniform(-0.2, 0.2)
    x = np.clip(x, 0, 1) ** math.exp(random.uniform(-0.2, 0.2))
    return x.transpose(2, 0, 1), y.astype(np.float32)[None] / 255


def starts(length, step):
    """Where windows begin along one side: every `step` pixels until one reaches the end."""
    places = [0]
    while places[-1] + side < length:
        places.append(min(places[-1] + step, length - side))
    return places


def predict(model, image):
    """The probabilities of a photograph by overlapping windows, weighted by a Gaussian of an eighth of the side."""
    height, width = image.shape[:2]
    line = torch.exp(-(torch.arange(side) - (side - 1) / 2) ** 2 / (2 * (side / 8) ** 2))
    weights = (line[:, None] * line).clamp(min=1e-3)
    total, share = torch.zeros(height, width), torch.zeros(height, width)
    x = torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32) / 255)[None]
    for top in starts(height, side // 2):
        for left in starts(width, side // 2):
            p = model(x[:, :, top:top + side, left:left + side]).sigmoid()[0, 0]
            total[top:top + side, left:left + side] += p * weights
            share[top:top + side, left:left + side] += weights
    return (total / share).numpy()


def figures(found, there):
    dice = 2 * (found & there).sum() / max(found.sum() + there.sum(), 1)
    thin, true = skeletonize(found), skeletonize(there)
    precision, recall = (thin & there).sum() / max(thin.sum(), 1), (true & found).sum() / max(true.sum(), 1)
    return dice, 2 * precision * recall / max(precision + recall, 1e-12)


def main():
    train, test = [[read(stem) for stem in stems(children)] for children in (set(range(1, 11)) - held_out, held_out)]
    model = unet.UNet(base, DEPTH, "group")
    optimizer = torch.optim.AdamW(model.parameters(), LR, weight_decay=0.01)
    steps, step, started = epochs * len(train) * PER_IMAGE // BATCH, 0, time.time()
    for epoch in range(epochs):
        order, held, losses = random.sample(train, len(train)), [], []
        for image, mask in order:
            held += [patch(image, mask) for _ in range(PER_IMAGE)]
            while len(held) >= BATCH:
                x, y = (torch.from_numpy(np.stack(values)) for values in zip(*held[:BATCH]))
                held = held[BATCH:]
                rising = (step + 1) / WARMUP
                falling = (1 + math.cos(math.pi * (step - WARMUP) / max(steps - WARMUP, 1))) / 2
                for group in optimizer.param_groups:
                    group["lr"] = LR * (rising if step < WARMUP else falling)
                loss = unet.bce_dice(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                losses.append(loss.item())
                step += 1
        print(f"epoch {epoch + 1} loss {np.mean(losses):.4f} {time.time() - started:.0f} s", flush=True)
    trained = time.time() - started
    model.eval()
    with torch.no_grad():
        rows = [figures(predict(model, image) > 0.5, mask > 0) for image, mask in test]
    for row in rows:
        print("dice %.4f clDice %.4f" % row)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print("mean dice %.4f clDice %.4f; %.0f s, peak %.0f MB" % (*np.mean(rows, 0), trained, peak))


if __name__ == "__main__":
    main()
