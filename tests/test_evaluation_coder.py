"""What the models of an evaluation share is made once, and its seconds still count."""

import numpy as np

from hvc_jax.evaluation import coder as evaluation_coder
from hvc_jax.evaluation.coder import SharedWork


def test_bodies_and_keys_are_made_once(monkeypatch):
    calls = []

    class Finder:
        """Its answer depends on the chunks before, as that of the real one does."""

        def __init__(self, effort):
            self.total = effort

        def __call__(self, pictures):
            self.total += int(pictures.sum())
            calls.append("body")
            return np.full((len(pictures), 188), self.total), np.ones(len(pictures))

    def encode(picture, qp, codec):
        calls.append("key")
        return qp

    monkeypatch.setattr(evaluation_coder, "BodyFinder", Finder)
    monkeypatch.setattr(evaluation_coder.keyframes, "encode", encode)
    once, chunks = SharedWork(), [np.ones((2, 4, 4, 3), np.uint8), np.ones((1, 4, 4, 3), np.uint8)]
    wanted = [Finder(1)(c)[0] for c in [chunks[0]]]
    calls.clear()
    first = once.bodies(1)
    answers = [first(chunk)[0] for chunk in chunks]
    np.testing.assert_array_equal(answers[0], wanted[0])
    assert answers[1][0, 0] == 1 + 3 * 48 and calls == ["body", "body"] and once.saved == 0
    again = once.bodies(1)
    assert all((again(c)[0] == a).all() for c, a in zip(chunks, answers, strict=True))
    assert calls == ["body", "body"] and once.saved > 0
    # Another clip that begins alike: the finder sees the beginning, then what is new.
    other = once.bodies(1)
    other(chunks[0])
    assert other(2 * chunks[1])[0][0, 0] == 1 + 2 * 48 + 2 * 48
    assert once.bodies(2)(chunks[0])[0][0, 0] == 2 + 2 * 48  # another effort, another answer
    picture = chunks[0][0]
    assert [once.key(picture, qp, "vvc") for qp in (32, 42, 32)] == [32, 42, 32]
    assert calls.count("key") == 2
    once.clear()
    assert once.key(picture, 32, "vvc") == 32 and calls.count("key") == 3
