#!/bin/sh
# The shipped generator: train.sh FIELDS WORKDIR SQUEEZENET.pth
set -e
hvc train --config configs/field.py:size=small,data="$1",res=128 --workdir "$2" --no-export \
    --config.loss.perceptual_weights="$3" --config.loss.perceptual=0.1 \
    --config.batch_size=8 --config.total_steps=5000 --config.optim.lr=3e-3 \
    --config.checkpoint.every=500 --config.validation.clips=13 --config.validation.frames=4
hvc export --workdir "$2" --out hvc_jax/pretrained/field.safetensors
hvc export --workdir "$2" --bodies-of semantic --out hvc_jax/pretrained/hybrid.safetensors
