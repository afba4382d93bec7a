"""One of two processes of a run, four fake devices each; started by test_training_processes.py.

Arguments: the coordinator's port, the number of this process, a folder. Trains three runs there:
with sharded parameters under jit, under pmap, and one that a SIGTERM to process 1 alone ends.
"""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

GLOBAL_BATCH, STEPS = 16, 3


def main(port: str, number: int, folder: Path) -> None:
    """Trains the three runs."""
    os.environ["NPROC"] = "16"  # or XLA's CPU collectives can hang on few cores
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
    os.environ["JAX_PLATFORMS"] = "cpu"
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import jax

    from hvc_jax.training.parallel import join

    join(f"127.0.0.1:{port},2,{number}")
    assert (len(jax.local_devices()), jax.device_count()) == (4, 8)
    from training_stub import StubModel, stub_batches, stub_config

    from hvc_jax.training.loop import train

    def batches(size: int, seed: int, start: int) -> Iterator[dict]:
        assert size == GLOBAL_BATCH // 2
        for batch in stub_batches(GLOBAL_BATCH, seed, start):
            yield {
                name: array[number * size : (number + 1) * size] for name, array in batch.items()
            }

    def told_to_stop(size: int, seed: int, start: int) -> Iterator[dict]:
        for step, batch in enumerate(batches(size, seed, start), start + 1):
            if step == 2 and number == 1:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    def go(name: str, source: object, **fields: object) -> bool:
        fields = {"total_steps": STEPS, "checkpoint__every": 100, "log__every": 1} | fields
        config = stub_config(batch_size=GLOBAL_BATCH // 8, **fields)
        model = StubModel(noisy=False)
        _, done = train(config, folder / name, model=model, batches=source, progress=False)
        return done

    assert go("jit", batches, shard_parameters=True, log__images_every=2)
    assert go("pmap", batches, parallel="pmap")
    assert not go("stopped", told_to_stop, total_steps=10_000)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
