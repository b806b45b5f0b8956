"""Makes references for the figures of one image: random masks and probabilities, with what scikit-learn, scikit-image, scipy and MONAI say of them.
usage: figures.py FOLDER [--cases 30] [--seed 1]        (needs numpy, scipy, scikit-learn, scikit-image, MONAI, torch and safetensors)

Writes FOLDER/metrics.json and FOLDER/fixtures2/metrics.safetensors. Compare with
    PIPELINE_PARITY=FOLDER cargo test -p pipeline-metrics --test parity -- --nocapture
which also prints the largest difference of each figure.

The cases: odd and even sizes, narrow and wide, from 1 x 1 to 97 x 211; blobs, lines one pixel wide, nets, single pixels, noise, empty and full masks;
probabilities without ties, in 8 bit and in 5 levels; a random field of view. Libraries compute the figures. Where MONAI computes in float32 (Dice, IoU, the percentile of
its own distances), scikit-learn's and numpy's float64 are written and MONAI's compared with them.
"""
import argparse, json, warnings
from pathlib import Path

import numpy as np, torch
from safetensors.numpy import save_file
from scipy import ndimage
from skimage.draw import line
from skimage.measure import euler_number, label
from skimage.morphology import skeletonize
from sklearn.metrics import (accuracy_score, average_precision_score, confusion_matrix, f1_score, jaccard_score, matthews_corrcoef, precision_score,
                             recall_score, roc_auc_score)
warnings.filterwarnings("ignore")
import monai.metrics as mm

SIZES = [(1, 1), (1, 37), (41, 1), (2, 2), (3, 90), (31, 47), (64, 64), (65, 63), (97, 211), (128, 50)]


def shape(rng, kind, h, w):
    """A mask of one of several kinds."""
    noise = rng.random((h, w))
    if kind == "blobs": return ndimage.gaussian_filter(noise, 2.5, mode="wrap") > np.quantile(ndimage.gaussian_filter(noise, 2.5, mode="wrap"), 0.8)
    if kind == "noise": return noise < rng.choice([0.1, 0.5, 0.9])
    if kind == "dots": return noise < 0.01
    if kind == "full": return noise < 0.999
    mask = np.zeros((h, w), bool)
    if kind in ("lines", "net"):
        for _ in range(4 if kind == "lines" else 14):
            (a, b), (c, d) = rng.integers(0, h, 2), rng.integers(0, w, 2); mask[line(a, c, b, d)] = True
        if kind == "net": mask = ndimage.binary_dilation(mask, iterations=int(rng.integers(1, 4)))
    return mask


def case(rng, number):
    """Truth, probabilities (float32) and field of view."""
    kinds = ["blobs", "lines", "net", "noise", "dots", "full", "empty"]
    h, w = SIZES[number % len(SIZES)]; kind = kinds[number % len(kinds)]; truth = shape(rng, kind, h, w)
    other = truth if rng.random() < 0.7 else shape(rng, kinds[int(rng.integers(len(kinds)))], h, w)
    p = 0.3 + 0.4 * np.roll(other, rng.integers(-3, 4, 2), (0, 1)) + rng.normal(0, rng.choice([0.02, 0.15]), (h, w)); levels = [None, 255, 4][number % 3]
    p = np.clip(p, 0, 1); p = np.round(p * levels) / levels if levels else p
    y, x = np.ogrid[:h, :w]; fov = (y - h * rng.uniform(0.3, 0.7)) ** 2 + (x - w * rng.uniform(0.3, 0.7)) ** 2 <= (max(h, w) * rng.uniform(0.2, 0.6)) ** 2
    return truth, p.astype(np.float32), fov


def number(value): return float(value) if np.isfinite(value) else None


def figures(truth, p, inside):
    """All figures of one image; None is undefined."""
    y, score = truth[inside], p[inside].astype(np.float64); q = score > 0.5
    tn, fp, fn, tp = (int(v) for v in confusion_matrix(y, q, labels=[False, True]).ravel()) if y.size else (0,) * 4
    empty = tp + fp + fn == 0; undefined = {"zero_division": np.nan}
    out = {"tp": tp, "fp": fp, "fn": fn, "tn": tn, "both_empty": empty, "dice": 1.0 if empty else f1_score(y, q), "iou": 1.0 if empty else jaccard_score(y, q),
           "sensitivity": number(recall_score(y, q, **undefined)) if y.size else None, "precision": number(precision_score(y, q, **undefined)) if y.size else None,
           "specificity": number(recall_score(~y, ~q, **undefined)) if y.size else None, "accuracy": accuracy_score(y, q) if y.size else None,
           "mcc": float(matthews_corrcoef(y, q)) if 0 < y.sum() < y.size and 0 < q.sum() < q.size else None,
           "auc": float(roc_auc_score(y, score)) if 0 < y.sum() < y.size else None,
           "average_precision": float(average_precision_score(y, score)) if y.any() else None}
    t, q = truth & inside, (p > 0.5) & inside; lines = {"truth": skeletonize(t), "prediction": skeletonize(q)}
    share = lambda a, b: float((a & b).sum() / a.sum()) if a.any() else None
    precision, sensitivity = share(lines["prediction"], t), share(lines["truth"], q)
    both = 0.0 if not (precision and sensitivity) else 2 * precision * sensitivity / (precision + sensitivity)
    out |= {"cldice": both if t.any() or q.any() else 1.0, "cldice_precision": precision, "cldice_sensitivity": sensitivity}
    for name, mask in {"truth": t, "prediction": q}.items():
        pieces = int(label(mask, connectivity=2).max())
        out |= {f"skeleton_{name}": int(lines[name].sum()), f"betti0_{name}": pieces, f"betti1_{name}": pieces - int(euler_number(mask, connectivity=2))}
    out |= {f"betti{k}_error": abs(out[f"betti{k}_truth"] - out[f"betti{k}_prediction"]) for k in (0, 1)}
    image = lambda mask: torch.from_numpy(mask.astype(np.float32))[None, None]
    out["hausdorff95"] = None
    if t.any() and q.any():
        edges = mm.utils.get_mask_edges(q, t, crop=False); there, back = (np.asarray(mm.utils.get_surface_distance(*pair)) for pair in (edges, edges[::-1]))
        out["hausdorff95"] = float(max(np.percentile(there.astype(np.float64), 95), np.percentile(back.astype(np.float64), 95)))
        theirs = float(mm.compute_hausdorff_distance(image(q), image(t), include_background=True, percentile=95))
        assert abs(out["hausdorff95"] - theirs) < 1e-5 * max(1, theirs), (out["hausdorff95"], theirs)
    for name, theirs in {"dice": mm.compute_dice(image(q), image(t), ignore_empty=False), "iou": mm.compute_iou(image(q), image(t), ignore_empty=False)}.items():
        assert abs(out[name] - float(theirs)) < 1e-6, (name, out[name], theirs)
    return out, lines


def pooled(all_figures, pixels):
    """Means over images, and the figures of all pixels together."""
    y, score = (np.concatenate(v) for v in zip(*pixels)); q = score > 0.5; rest = [f["dice"] for f in all_figures if not f["both_empty"]]
    return {"images": len(all_figures), "both_empty": len(all_figures) - len(rest), "images_with_probabilities": len(all_figures),
            "dice_mean": float(np.mean([f["dice"] for f in all_figures])), "dice_mean_without_both_empty": float(np.mean(rest)), "dice_pooled": f1_score(y, q),
            "iou_pooled": jaccard_score(y, q), "sensitivity_pooled": recall_score(y, q), "specificity_pooled": recall_score(~y, ~q),
            "accuracy_pooled": accuracy_score(y, q), "auc_pooled": roc_auc_score(y, score), "average_precision_pooled": average_precision_score(y, score)}


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(); arguments.add_argument("folder", type=Path)
    arguments.add_argument("--cases", type=int, default=30); arguments.add_argument("--seed", type=int, default=1); given = arguments.parse_args()
    rng = np.random.default_rng(given.seed); entries, arrays, sets = [], {}, {"whole": ([], []), "inside": ([], [])}
    for at in range(given.cases):
        truth, p, fov = case(rng, at); name = f"random_{at}"; entry = {"name": name, "source": {"random": True}, "probabilities": True}
        entry |= {"height": truth.shape[0], "width": truth.shape[1]}
        for part, inside in (("whole", np.ones_like(truth)), ("inside", fov)):
            entry[part], lines = figures(truth, p, inside); sets[part][0].append(entry[part])
            sets[part][1].append((truth[inside], p[inside].astype(np.float64)))
            if part == "whole": arrays |= {f"{name}.skeleton_{k}": v.astype(np.uint8) for k, v in lines.items()}
        entries.append(entry); arrays |= {f"{name}.truth": truth.astype(np.uint8), f"{name}.fov": fov.astype(np.uint8), f"{name}.probability": p}
    (given.folder / "fixtures2").mkdir(parents=True, exist_ok=True)
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, given.folder / "fixtures2/metrics.safetensors")
    text = json.dumps({"threshold": "p > 0.5", "sets": {k: pooled(*v) for k, v in sets.items()}, "cases": entries}, default=float)
    (given.folder / "metrics.json").write_text(text); print(f"{len(entries)} cases in {given.folder}")
