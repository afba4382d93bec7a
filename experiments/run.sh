#!/usr/bin/env bash
# Trains a sweep, evaluates it, and makes its tables and plots; goes on where it stopped.
#
#   experiments/run.sh NAME WORK CLIPS [options of hvc evaluate]
#
# NAME: 010_lambda_sweep, 020_explicit_vs_implicit or 021_attention. WORK: where runs and streams go. CLIPS: folder
# of validation clips. HVC_DATA=PATH takes that training data instead of synthetic people. Further
# options, as --mask-net FILE --pose-net FILE --dists-weights FILE, go to hvc evaluate.
set -euo pipefail
name=$1 work=$2 clips=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)
folder=$here/$name runs=$work/$name results=$work/$name.results
cd "$here/.."

case $name in 02?_*) python "$folder/cost.py" ;; esac
hvc sweep "$folder" --workdir "$runs"
mkdir -p "$work"
case $name in 021_*) size=64 ;; *) size=96 ;; esac
# The size at which these are trained; one intra, key QPs and hold as in experiments/README.md.
hvc evaluate --model "$runs"/*/model.safetensors --clips "$clips" --out "$results" \
    --clip-count 12 --size "$size" --frames 32 --every 16 --key-qp 22,32,42,52 \
    --anchors vvc,vvc-ld --anchor-effort good --anchor-qp vvc=32,37,42,47 vvc-ld=32,37,42,47 "$@"
cp "$results/results.csv" "$results/run.json" "$folder/"
verdict=$here/020_explicit_vs_implicit/verdict.py
case $name in
020_*) python "$verdict" "$folder/results.csv" ;;
021_*) python "$verdict" "$folder/results.csv" keypoint map ;;
esac
hvc report "$folder" "$folder/README.md" --plots psnr body_psnr lpips_vgg
