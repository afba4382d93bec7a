import numpy as np
import pytest

from hvc_jax.evaluation.bd_rate import BdRateError, bd_rate

RATES = [5.0, 8.0, 14.0, 22.0]
SCORES = [28.0, 30.1, 32.0, 33.4]


def test_equal_curves_give_zero_and_a_scaled_rate_its_factor():
    assert bd_rate(RATES, SCORES, RATES, SCORES).percent == pytest.approx(0)
    cheaper = [0.7 * r for r in RATES]
    assert bd_rate(RATES, SCORES, cheaper, SCORES).percent == pytest.approx(-30)


def test_the_order_of_points_does_not_matter():
    other = [4.0, 7.0, 12.0, 21.0]
    forward = bd_rate(RATES, SCORES, other, SCORES)
    backward = bd_rate(RATES[::-1], SCORES[::-1], other[::-1], SCORES[::-1])
    assert forward == backward


def test_distances_are_turned_round():
    lpips = [0.40, 0.31, 0.25, 0.21]
    result = bd_rate(RATES, lpips, [2 * r for r in RATES], lpips, higher_is_better=False)
    assert result.percent == pytest.approx(100)
    assert (result.low, result.high) == (0.21, 0.40)


def test_the_overlap_is_stated():
    result = bd_rate(RATES, SCORES, RATES, [s + 2.7 for s in SCORES])
    assert (result.low, result.high) == pytest.approx((30.7, 33.4))
    assert result.overlap == pytest.approx((33.4 - 30.7) / (36.1 - 28))
    assert result.percent < 0


def test_it_equals_a_fine_sum_of_a_log_linear_curve():
    """On curves that are straight in (quality, log rate) any interpolation is the truth."""
    quality = np.array([20.0, 24.0, 27.0, 31.0])
    anchor, tested = 10 ** (0.05 * quality), 10 ** (0.04 * quality + 0.1)
    grid = np.linspace(20, 31, 100001)
    expected = 10 ** np.mean(0.04 * grid + 0.1 - 0.05 * grid) * 100 - 100
    result = bd_rate(anchor, quality, tested, quality)
    assert result.percent == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "rates, scores, words",
    [
        (RATES, [s + 20 for s in SCORES], "overlap by 0%"),
        (RATES[:2], SCORES[:2], "3 or more"),
        (RATES, [28.0, 31.0, 30.0, 33.0], "does not rise"),
        ([0.0, 8, 14, 22], SCORES, "no positive number"),
        (RATES, [28.0, 30.1, 32.0, np.inf], "no positive number"),
        (RATES, SCORES[:3], "points"),
    ],
)
def test_what_cannot_be_compared_is_refused(rates, scores, words):
    with pytest.raises(BdRateError, match=words):
        bd_rate(RATES, SCORES, rates, scores)


def test_an_interpolation_that_runs_away_is_refused():
    """Three equal qualities but for their last digits, as a held key picture may have."""
    flat = [28.0, 28.0 + 1e-9, 28.0 + 2e-9, 33.4]
    with pytest.raises(BdRateError, match="leaves what was measured"):
        bd_rate(RATES, SCORES, [5.0, 9.0, 300.0, 301.0], flat)


def test_parity_with_the_bjontegaard_package():
    oracle = pytest.importorskip("bjontegaard")
    other_rates, other_scores = [4.0, 7.5, 12.0, 25.0], [28.4, 30.3, 31.7, 34.0]
    ours = bd_rate(RATES, SCORES, other_rates, other_scores).percent
    theirs = oracle.bd_rate(
        RATES, SCORES, other_rates, other_scores, method="akima", require_matching_points=False
    )
    assert ours == pytest.approx(theirs, abs=1e-6)
