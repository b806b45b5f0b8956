"""Loads a run's last.safetensors into PyTorch and compares the probabilities of the run's test images.

The run must have kept them: `--set stages.evaluate.with.tensors=true`.
usage: probabilities.py RUN_FOLDER        (needs torch, safetensors and numpy; exits 1 above 1e-4)
"""
import sys
from pathlib import Path

from safetensors.numpy import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python" / "src"))
from pipeline_segmentation import load  # noqa: E402

run = sys.argv[1]
model, kept, worst = load(f"{run}/last.safetensors"), load_file(f"{run}/predictions.safetensors"), 0.0
for name in sorted(key[:-6] for key in kept if key.endswith(".image")):
    p = model.predict(kept[f"{name}.image"])
    error = abs(p - kept[f"{name}.probability"]).max()
    worst = max(worst, error)
    print(f"{name} {p.shape} largest difference {error:.2e}")
sys.exit(int(worst > 1e-4))
