#!/bin/sh
# The shipped implicit model: train.sh CLIPS WORK SQUEEZENET.pth; CLIPS has a manifest.csv
set -e
clips=$1 work=$2 squeezenet=$3
export GLIBC_TUNABLES=glibc.malloc.hugetlb=1
hvc data prepare "$clips" "$work/data128" --manifest "$clips/manifest.csv" --size 128 --keys-per-clip 12 --qps-per-key 2
hvc data prepare "$clips" "$work/data256" --manifest "$clips/manifest.csv" --size 256 --keys-per-clip 4 --qps-per-key 2

# Motion alone, at 128 pixels; nothing of the generator is computed.
hvc train --config configs/implicit.py:size=small,res=128,lmbda=2,data="$work/data128/human_clips" \
    --workdir "$work/motion" --no-export --config.total_steps=1200 --config.batch_size=8 \
    --config.optim.lr=1e-3 --config.optim.warmup=100 --config.optim.ema=.995 --config.model.past=1 \
    --config.init_from=hvc_jax/pretrained/keypoint.safetensors --config.init_blocks="('reference_encoder',)" \
    --config.loss.l1=0 --config.loss.perceptual=0 --config.loss.warped=2 --config.loss.warped_perceptual=0 \
    --config.loss.flow=5 --config.loss.flow_until=.8 --config.loss.rate_warmup=.3 \
    --config.data.teacher_flow=True --config.data.made=.25 --config.data.crop=1 --config.data.jitter=0 \
    --config.validation.clips=13 --config.checkpoint.every=500

# Everything, at 256 pixels, with a new generator.
hvc train --config configs/implicit.py:size=small,res=256,lmbda=1,data="$work/data256/human_clips" \
    --workdir "$work/whole" --no-export --config.total_steps=1200 --config.batch_size=4 \
    --config.optim.lr=7e-4 --config.optim.warmup=30 --config.optim.ema=.99 --config.model.past=1 \
    --config.init_from="$work/motion" \
    --config.init_blocks="('motion','reference_encoder','log_step','prior')" \
    --config.loss.perceptual=.1 --config.loss.perceptual_weights="$squeezenet" \
    --config.loss.warped=1 --config.loss.warped_perceptual=0 --config.loss.attended=.5 \
    --config.loss.flow=3 --config.loss.flow_until=.7 \
    --config.data.teacher_flow=True --config.data.made=.15 --config.data.crop=1 --config.data.jitter=0 \
    --config.validation.clips=13 --config.validation.frames=8 --config.checkpoint.every=150

hvc export --workdir "$work/whole" --out hvc_jax/pretrained/implicit.safetensors
