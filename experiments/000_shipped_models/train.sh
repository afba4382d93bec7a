#!/usr/bin/env bash
# Trains the models that are shipped in hvc_jax/pretrained/, from clips to exports.
#
#   experiments/000_shipped_models/train.sh CLIPS NETS MOCAP WORK
#
# CLIPS: folder of training clips. NETS: folder with pose/*.tflite, seg/*.tflite and
# squeezenet/*.pth. MOCAP: folder of .bvh files. WORK: where data sets and runs go.
# Every step is skipped or goes on when its result is there already.
set -euo pipefail
clips=$1 nets=$2 mocap=$3 work=$4
here=$(cd "$(dirname "$0")/../.." && pwd)
data=$work/data
export OPENBLAS_NUM_THREADS=1

hvc data prepare "$clips" "$data" --size 256 --keys-per-clip 6 --qps-per-key 3
hvc train-regressor --output "$work/body_regressor.safetensors" --workdir "$work/regressor" \
    --clips "$clips" --nets "$nets" --mocap "$mocap"
hvc data bodies "$data/human_clips" --labels "$work/regressor/labels"
hvc data synthesise "$data" --clips 48 --frames 25

common=(--config.optim.lr=6e-4 --config.loss.l1=2.0 --config.loss.perceptual=0.7
    --config.loss.perceptual_weights="$(ls "$nets"/squeezenet/*.pth)")

train() { # variant, then options of this variant
    local variant=$1 config=$here/configs/$1.py:size=small
    shift
    # Motion is learned at half the resolution, four times as many pictures an hour ...
    hvc train --config "$config,res=128" --workdir "$work/${variant}_128" \
        --config.data.path="$data/human_clips" --config.batch_size=8 --config.total_steps=1800 \
        --config.optim.schedule=constant "${common[@]}" "$@"
    # ... and what the key codec lost is restored at the full one.
    hvc train --config "$config,res=256" --workdir "$work/${variant}_256" \
        --config.init_from="$work/${variant}_128" --config.batch_size=4 \
        --config.data.path="$data/human_clips:4,$data/synthetic_humans:1" \
        --config.total_steps=400 --config.optim.warmup=30 "${common[@]}" \
        --config.optim.lr=4e-4 "$@"
    hvc export --workdir "$work/${variant}_256" --out "$here/hvc_jax/pretrained/$variant.safetensors"
}

train semantic --config.model.motion.schema=full_body
train implicit --config.loss.points=0.5
