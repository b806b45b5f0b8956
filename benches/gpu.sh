#!/usr/bin/env bash
# Measures a machine with a GPU: does it compute what PyTorch does, how long does a step take, and in how much memory? Beside it
# stand PyTorch as it comes, torch.compile, and what the card allows.
# Writes a Markdown file. Needs bash, coreutils and python3; without torch, PyTorch's part is left out, with the reason.
set -euo pipefail

usage() {
  cat <<'END'
usage: benches/gpu.sh [OPTIONS]
  --binary PATH      a build of pipeline (default: a small one is built)
  --build            only builds it, and says where it is
  --without-llvm     builds with CUDA where LLVM can't be fetched: the library behind CUDA links it, and nothing here calls it
  --device NAMES     some of cuda, vulkan and wgpu, in order of importance (cuda,vulkan)
  --out FILE         the Markdown file (docs/gpu.md)
  --fixtures DIR     references *.safetensors (default: made by tests/pytorch/make_reference.py, if torch is there)
  --peer FILE        a script that times the same step in PyTorch (tests/pytorch/train_step.py)
  --python PYTHON    the Python that has torch (python3)
  --peak TB,TFLOP    the card's TB/s and TFLOP/s in half precision, for the limit (default: by its name, where that is known)
  --deadline SECONDS for all but the build; rows beyond it are listed as not measured (450)
  --row SECONDS      limit for one row (120)
  --tiny             a network and images small enough for software Vulkan: some minutes
END
}

root=$(cd "$(dirname "$0")/.." && pwd)
binary='' names=cuda,vulkan out=$root/docs/gpu.md fixtures='' peer=$root/tests/pytorch/train_step.py
python=python3 peak='' deadline=450 row_limit=120 tiny=no build_only=no llvm=yes
while (($#)); do
  case $1 in
    --tiny) tiny=yes; shift; continue ;;
    --build) build_only=yes; shift; continue ;;
    --without-llvm) llvm=no; shift; continue ;;
    -h | --help) usage; exit 0 ;;
    --binary | --device | --out | --fixtures | --peer | --python | --peak | --deadline | --row) ;;
    *) echo "unknown option $1" >&2; usage >&2; exit 2 ;;
  esac
  if (($# < 2)); then echo "$1 wants a value" >&2; exit 2; fi
  case $1 in
    --binary) binary=$(realpath "$2") ;;
    --device) names=$2 ;;
    --out) out=$(realpath -m "$2") ;;
    --fixtures) fixtures=$(realpath -m "$2") ;;
    --peer) peer=$(realpath -m "$2") ;;
    --python) case $2 in */*) python=$(realpath -s "$2") ;; *) python=$2 ;; esac ;; # keep a link into a virtual environment
    --peak) peak=$2 ;;
    --deadline) deadline=$2 ;;
    --row) row_limit=$2 ;;
  esac
  shift 2
done
IFS=, read -ra devices <<<"$names"
if ((${#devices[@]} == 0)); then echo "no device" >&2; exit 2; fi
for device in "${devices[@]}"; do
  case ${device%%:*} in vulkan | wgpu | cuda) ;; *) echo "a device is vulkan, wgpu or cuda, not $device" >&2; exit 2 ;; esac
done
cd "$root"

if [ -z "$binary" ]; then
  features=$(printf '%s\n' "${devices[@]%%:*}" | sort -u | paste -sd,)
  # A separate folder: other features would invalidate the usual build's artefacts each time.
  export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}-${features//,/-}"
  # A fixed address saves 8 MB of relocations.
  options=(-C relocation-model=static)
  case $features in
    *cuda*)
      # The version of CUDA's interface. The toolkit says it where it is installed; its compiler is needed on the card's machine only.
      if ! command -v nvcc >/dev/null; then export CUDARC_CUDA_VERSION="${CUDARC_CUDA_VERSION:-13000}"; fi
      if [ $llvm = no ]; then
        export DOCS_RS=1 # the build scripts then neither fetch LLVM nor compile code against it
        python3 benches/llvm_stubs.py "$CARGO_TARGET_DIR/llvm"
        options+=(-L "native=$(realpath "$CARGO_TARGET_DIR/llvm")" -l static:+whole-archive=llvm_stubs)
      fi
      ;;
  esac
  if ! cargo rustc --locked --profile carry --features "$features" --bin pipeline -- "${options[@]}"; then
    case $features-$llvm in *cuda*-yes) echo "if LLVM couldn't be fetched: --without-llvm builds without it" >&2 ;; esac
    exit 1
  fi
  binary=$(realpath "$CARGO_TARGET_DIR/carry/pipeline")
fi
size=$(($(stat -c %s "$binary") / 1000000))
echo "the program: $size MB" >&2
if [ $build_only = yes ]; then echo "$binary"; exit; fi

# Where there is no toolkit, PyTorch's packages may hold its headers and NVRTC.
if [ -z "${CUDA_PATH:-}" ] && ! [ -e /usr/local/cuda/include/cuda_fp16.h ]; then
  toolkit=$("$python" -c 'import glob, nvidia
print(*glob.glob(nvidia.__path__[0] + "/cu[0-9]*/include/cuda_fp16.h"), sep="\n")' 2>/dev/null | tail -n 1) || toolkit=
  if [ -n "$toolkit" ]; then
    export CUDA_PATH=${toolkit%/include/*}
    export LD_LIBRARY_PATH=$CUDA_PATH/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  fi
fi

# The clock starts here, after the build.
SECONDS=0
work=$(mktemp -d)
watcher=''
trap '[ -z "$watcher" ] || kill "$watcher" 2>/dev/null; rm -rf "$work"' EXIT
if [ $tiny = yes ]; then
  base=4 wider=8 depth=2 side=32 larger=2 steps=4
else
  base=32 wider=64 depth=5 side=1024 larger=4 steps=9
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

ours() { # device, base, batch, accumulation, precision, checkpointing
  local row=rows/$1-$2-$3-$4-$5-$6
  # All batches fit the queue before the network: they are drawn while kernels compile, so no step waits for them.
  attempt "$row" "$binary" run pipelines/quickstart.yml --quiet --out "$work/$row/run" --set trainer.device="$1" \
    --set trainer.num_epochs=1 --set trainer.gradient_accumulation_steps="$4" --set trainer.mixed_precision="'$5'" \
    --set trainer.gradient_checkpointing="$6" --set dataset.drawn.pairs=$(($3 * $4 * steps)) --set dataset.drawn.test_pairs=1 \
    --set dataset.drawn.image_size=$side --set dataset.drawn.batch_size="$3" --set dataset.drawn.num_workers="$(nproc)" \
    --set stages.train.bound.items=$(($4 * steps)) --set "stages.train.with.model={unet: {base: $2, depth: $depth, norm: group}}"
  rm -f "$work/$row/run/"{model,last}.safetensors # up to 124 MB a row each
}

theirs() { # eager or compile, base, batch, accumulation, precision, checkpointing
  local row=rows/$1-$2-$3-$4-$5-$6 mode=no
  case $1-$6 in compile-none) mode=compile ;; eager-blocks) mode=ck ;; esac
  if [ -e "$work/no_torch" ]; then
    mkdir -p "$work/$row"
    cp "$work/no_torch" "$work/$row/why"
  else
    attempt "$row" "$python" "$peer" "$peer_device" "$2" $depth group $side "$3" "$4" "$5" "$mode" $steps
  fi
}

row() { # who, base, batch, accumulation, precision, checkpointing
  echo "$SECONDS s: $1, base $2, $3 x $4, $5, $6" >&2
  case $1 in
    eager | compile) theirs "$@" ;;
    *) ours "$@" ;;
  esac
  table || true
}

mkdir "$work/rows" "$work/fixtures" "$work/window"
smi name,driver_version,memory.total >"$work/card" || rm -f "$work/card"
if [ -e "$work/card" ]; then smi memory.used >"$work/used_before"; fi
printf '%s\n' "devices=${devices[*]}" "tiny=$tiny" "depth=$depth" "side=$side" "steps=$steps" "warmup=$warmup" "deadline=$deadline" \
  "row_limit=$row_limit" "peak=$peak" "date=$(date -u +%Y-%m-%d)" >"$work/about"

rows() { # base, batch, accumulation, precision, checkpointing: one for each program, so a hot or shared card affects all
  local who
  for who in "${devices[@]}"; do echo "$who $*"; done
  case $5 in
    none) printf '%s\n' "eager $*" "compile $*" ;;
    blocks) echo "eager $*" ;; # PyTorch checkpoints each level
  esac
}
# Most important first.
rows $base 1 1 fp16 none >"$work/first"
{
  rows $base $larger 1 fp16 none
  rows $base 1 1 no none
  rows $base 1 1 fp16 blocks
  rows $base 1 1 fp16 full
  rows $wider 1 1 fp16 none
  rows $base $larger 1 no none
  rows $base 1 4 fp16 none
} >"$work/then"
cat "$work/first" "$work/then" >"$work/plan"
table # also checks that the file can be written

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

while read -r -a key <&3; do row "${key[@]}"; done 3<"$work/first"

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
    for device in "${devices[@]}"; do
      attempt "fixtures/$name, $device, fp16" "$binary" verify "$fixture" --device "$device" --mixed_precision fp16
      attempt "fixtures/$name, $device" "$binary" verify "$fixture" --device "$device"
    done
  fi
done
table

# Kernels are chosen by size and may be wrong for some: compares the gradients of the first row's network, at its own size, with the CPU's.
echo "$SECONDS s: verify a window at $side x $side" >&2
for device in "${devices[@]}"; do
  attempt "window/$device" "$binary" verify pipelines/quickstart.yml --device "$device" --set trainer.gradient_accumulation_steps=1 \
    --set dataset.drawn.pairs=1 --set dataset.drawn.image_size=$side --set dataset.drawn.batch_size=1 \
    --set "stages.train.with.model={unet: {base: $base, depth: $depth, norm: group}}"
done
table

while read -r -a key <&3; do row "${key[@]}"; done 3<"$work/then"

echo "$SECONDS s: done, see $out" >&2
python3 benches/gpu.py "$work" "$out" --judge
