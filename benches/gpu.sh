#!/usr/bin/env bash
# Measures a machine with a GPU: does it compute what PyTorch does, how long does a step take, and in how much memory?
# Writes a Markdown file. Needs bash, coreutils and python3; without torch, PyTorch's half is left out, with the reason.
set -euo pipefail

usage() {
  cat <<'END'
usage: benches/gpu.sh [OPTIONS]
  --binary PATH      a build of pipeline (default: a small one is built)
  --device NAME      vulkan, wgpu or cuda (vulkan)
  --out FILE         the Markdown file (docs/gpu.md)
  --fixtures DIR     references *.safetensors (default: made by tests/pytorch/make_reference.py, if torch is there)
  --peer FILE        a script that times the same step in PyTorch (tests/pytorch/train_step.py)
  --python PYTHON    the Python that has torch (python3)
  --deadline SECONDS for all but the build; rows beyond it are listed as not measured (450)
  --row SECONDS      limit for one row (100)
  --tiny             a network and images small enough for software Vulkan: some minutes
END
}

root=$(cd "$(dirname "$0")/.." && pwd)
binary='' device=vulkan out=$root/docs/gpu.md fixtures='' peer=$root/tests/pytorch/train_step.py
python=python3 deadline=450 row_limit=100 tiny=no
while (($#)); do
  case $1 in
    --tiny) tiny=yes; shift; continue ;;
    -h | --help) usage; exit 0 ;;
    --binary | --device | --out | --fixtures | --peer | --python | --deadline | --row) ;;
    *) echo "unknown option $1" >&2; usage >&2; exit 2 ;;
  esac
  if (($# < 2)); then echo "$1 wants a value" >&2; exit 2; fi
  case $1 in
    --binary) binary=$(realpath "$2") ;;
    --device) device=$2 ;;
    --out) out=$(realpath -m "$2") ;;
    --fixtures) fixtures=$(realpath -m "$2") ;;
    --peer) peer=$(realpath -m "$2") ;;
    --python) case $2 in */*) python=$(realpath -s "$2") ;; *) python=$2 ;; esac ;; # keep a link into a virtual environment
    --deadline) deadline=$2 ;;
    --row) row_limit=$2 ;;
  esac
  shift 2
done
case ${device%%:*} in vulkan | wgpu | cuda) ;; *) echo "the device is vulkan, wgpu or cuda, not $device" >&2; exit 2 ;; esac
cd "$root"

if [ -z "$binary" ]; then
  # A separate folder: other features would invalidate the usual build's artefacts each time.
  export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}-${device%%:*}"
  # A fixed address saves 8 MB of relocations.
  cargo rustc --locked --profile carry --features "${device%%:*}" --bin pipeline -- -C relocation-model=static
  binary=$(realpath "$CARGO_TARGET_DIR/carry/pipeline")
fi
size=$(($(stat -c %s "$binary") / 1000000))
echo "the program: $size MB" >&2
if ((size > 60)); then echo "that is more than 60 MB: too large to be carried about; is it stripped?" >&2; fi

# The clock starts here, after the build.
SECONDS=0
work=$(mktemp -d)
watcher=''
trap '[ -z "$watcher" ] || kill "$watcher" 2>/dev/null; rm -rf "$work"' EXIT
if [ $tiny = yes ]; then
  bases=(4) depth=2 side=32 windows=("1 2" "2 1") steps=4
else
  bases=(32 64) depth=5 side=1024 windows=("1 4" "4 1") steps=6
fi
# Kernels are compiled in the first step; the optimizer's memory is allocated at its end.
warmup=2

table() { # writes what is known so far, so that a killed run leaves its rows
  python3 benches/gpu.py "$work" "$out"
}

# The card's own count, the same measure for both programs: each allocator's figures leave out contexts and kernels.
smi() { nvidia-smi --id=0 --query-gpu="$1" --format=csv,noheader 2>/dev/null; }
watch_card() {
  if ! [ -e "$work/card" ]; then return; fi
  # Not through the function: the process id to stop must be the program's, not a shell's.
  nvidia-smi --id=0 --query-gpu=memory.used --format=csv,noheader --loop-ms=100 >"$1/used" 2>/dev/null &
  watcher=$!
}
unwatch_card() {
  if [ -z "$watcher" ]; then return; fi
  kill "$watcher" 2>/dev/null || true
  wait "$watcher" 2>/dev/null || true
  watcher=''
}

# attempt FOLDER COMMAND...: runs it in the time left and keeps its output; never fails.
attempt() {
  local folder=$work/$1 left=$((deadline - SECONDS)) limit code=0 began
  shift
  mkdir -p "$folder"
  if ((left < 5)); then echo "no time left" >"$folder/why"; return; fi
  limit=$((left < row_limit ? left : row_limit))
  watch_card "$folder"
  began=$EPOCHREALTIME
  timeout --foreground --kill-after=3 "$limit" "$@" >"$folder/out" 2>"$folder/err" || code=$?
  echo "$code $limit $began $EPOCHREALTIME" >"$folder/ended"
  unwatch_card
}

ours() { # base, batch, accumulation, precision, checkpointing
  local row=rows/ours-$1-$2-$3-$4-$5
  # All batches fit the queue before the network: they are drawn while kernels compile, so no step waits for them.
  attempt "$row" "$binary" run pipelines/quickstart.yml --quiet --out "$work/$row/run" --set trainer.device="$device" \
    --set trainer.num_epochs=1 --set trainer.gradient_accumulation_steps="$3" --set trainer.mixed_precision="'$4'" \
    --set trainer.gradient_checkpointing="$5" --set dataset.drawn.pairs=$(($2 * $3 * steps)) --set dataset.drawn.test_pairs=1 \
    --set dataset.drawn.image_size=$side --set dataset.drawn.batch_size="$2" --set dataset.drawn.num_workers="$(nproc)" \
    --set stages.train.bound.items=$(($3 * steps)) --set "stages.train.with.model={unet: {base: $1, depth: $depth, norm: group}}"
  rm -f "$work/$row/run/model.safetensors" # up to 124 MB a row
}

theirs() { # base, batch, accumulation, precision, ck or no
  local row=rows/theirs-$1-$2-$3-$4-$5
  if [ -e "$work/no_torch" ]; then
    mkdir -p "$work/$row"
    cp "$work/no_torch" "$work/$row/why"
  else
    attempt "$row" "$python" "$peer" "$peer_device" "$1" $depth group $side "$2" "$3" "$4" "$5" $steps
  fi
}

mkdir "$work/rows" "$work/fixtures"
smi name,driver_version,memory.total >"$work/card" || rm -f "$work/card"
if [ -e "$work/card" ]; then smi memory.used >"$work/used_before"; fi
printf '%s\n' "device=$device" "tiny=$tiny" "depth=$depth" "side=$side" "steps=$steps" "warmup=$warmup" "deadline=$deadline" \
  "row_limit=$row_limit" "date=$(date -u +%Y-%m-%d)" >"$work/about"
# Most important first: micro-batches before whole batches, the smaller network before the larger.
for window in "${windows[@]}"; do
  for base in "${bases[@]}"; do
    for precision in no fp16; do
      for checkpointing in none blocks full; do echo "$base $window $precision $checkpointing"; done
    done
  done
done >"$work/plan"
table # also checks that the file can be written

if [ -z "$fixtures" ]; then
  fixtures=$work/references
  mkdir "$fixtures"
  for norm in group batch; do
    "$python" tests/pytorch/make_reference.py "$fixtures/unet_$norm.safetensors" --norm $norm 2>/dev/null || echo "no reference for $norm norm: is torch there?" >&2
  done
fi
for fixture in "$fixtures"/*.safetensors; do
  if [ -e "$fixture" ]; then
    name=$(basename "$fixture" .safetensors)
    echo "$SECONDS s: verify $name" >&2
    attempt "fixtures/$name" "$binary" verify "$fixture" --device "$device"
    attempt "fixtures/$name, fp16" "$binary" verify "$fixture" --device "$device" --mixed_precision fp16
  fi
done
table

# Kernels are chosen by size and may be wrong for some: compares the gradients of the first row's network, at its own size, with the CPU's.
echo "$SECONDS s: verify a window at $side x $side" >&2
attempt window "$binary" verify pipelines/quickstart.yml --device "$device" --set trainer.gradient_accumulation_steps=1 \
  --set dataset.drawn.pairs=1 --set dataset.drawn.image_size=$side --set dataset.drawn.batch_size=1 \
  --set "stages.train.with.model={unet: {base: ${bases[0]}, depth: $depth, norm: group}}"
table

peer_device=cuda
if ! [ -e "$peer" ]; then
  echo "there is no $(basename "$peer")" >"$work/no_torch"
elif ! command -v "$python" >/dev/null; then
  echo "there is no such Python" >"$work/no_torch"
else
  attempt torch "$python" -c 'import torch
cuda = torch.cuda.is_available()
print(torch.__version__, torch.version.cuda if cuda else "-", torch.cuda.get_device_name() if cuda else "cpu", sep="\n")'
  if ! grep -q '^0 ' "$work/torch/ended" 2>/dev/null; then
    echo "torch can't be imported" >"$work/no_torch"
  elif grep -qx cpu "$work/torch/out"; then
    peer_device=cpu
    if [ $tiny = no ]; then echo "torch has no CUDA here" >"$work/no_torch"; fi
  fi
fi

# The two programs alternate, so a hot or shared card affects both.
while read -r base batch accumulation precision checkpointing <&3; do
  echo "$SECONDS s: base $base, $batch x $accumulation, $precision, $checkpointing" >&2
  ours "$base" "$batch" "$accumulation" "$precision" "$checkpointing"
  case $checkpointing in
    none) theirs "$base" "$batch" "$accumulation" "$precision" no ;;
    blocks) theirs "$base" "$batch" "$accumulation" "$precision" ck ;;
  esac
  table || true
done 3<"$work/plan"

echo "$SECONDS s: done, see $out" >&2
python3 benches/gpu.py "$work" "$out" --judge
