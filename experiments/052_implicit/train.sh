#!/bin/sh
# An implicit model: train.sh CLIPS WORK OUT.safetensors; CLIPS has a manifest.csv. README.md says how the shipped one was made.
set -e
clips=$1 work=$2 out=$3
export GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=100000000000
hvc data prepare "$clips" "$work/data128" --manifest "$clips/manifest.csv" --size 128 --keys-per-clip 12 --qps-per-key 2
hvc data prepare "$clips" "$work/data256" --manifest "$clips/manifest.csv" --size 256 --keys-per-clip 4 --qps-per-key 2

# Motion alone, at 128 and at 256 pixels: of the generator nothing is computed, and what it learned in another variant is kept.
motion() {
    size=$1; shift
    hvc train --config configs/implicit.py:size=small,res="$size",lmbda=2,data="$work/data$size/human_clips" \
        --workdir "$work/motion$size" --no-export --config.optim.lr=1e-3 --config.model.past=1 \
        --config.loss.l1=0 --config.loss.perceptual=0 --config.loss.warped=2 --config.loss.warped_perceptual=0 \
        --config.loss.flow=5 --config.loss.flow_until=.8 --config.loss.rate_warmup=.3 \
        --config.data.teacher_flow=True --config.data.made=.25 --config.data.crop=1 --config.data.jitter=0 \
        --config.validation.clips=13 --config.validation.frames=8 --config.checkpoint.every=500 "$@"
}
motion 128 --config.total_steps=1200 --config.batch_size=8 --config.optim.warmup=100 --config.optim.ema=.995 \
    --config.init_from=hvc_jax/pretrained/keypoint.safetensors --config.init_blocks="('reference_encoder','generator')"
motion 256 --config.total_steps=1000 --config.batch_size=4 --config.optim.warmup=30 --config.optim.ema=.99 --config.init_from="$work/motion128"

# Everything, with LPIPS.
hvc train --config configs/implicit.py:size=small,res=256,lmbda=1,data="$work/data256/human_clips" \
    --workdir "$work/whole" --no-export --config.total_steps=1200 --config.batch_size=4 \
    --config.optim.lr=6e-4 --config.optim.warmup=30 --config.optim.ema=.99 --config.model.past=1 \
    --config.init_from="$work/motion256" --config.loss.perceptual=.6 --config.loss.perceptual_weights=lpips \
    --config.loss.perceptual_scales=1 --config.loss.perceptual_window=128 \
    --config.loss.warped=2 --config.loss.warped_perceptual=0 --config.loss.attended=.6 \
    --config.loss.flow=3 --config.loss.flow_until=.7 \
    --config.data.teacher_flow=True --config.data.made=.1 --config.data.crop=1 --config.data.jitter=0 \
    --config.validation.clips=13 --config.validation.frames=8 --config.checkpoint.every=300

hvc export --workdir "$work/whole" --out "$out"
