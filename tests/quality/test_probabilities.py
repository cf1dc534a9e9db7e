"""The few probabilities are those of `scipy.stats`, which nothing here has to import."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from vecrollback.quality.probabilities import beta_quantile, fair_tail, hypergeometric_cdf
from vecrollback.quality.purity.certificate import certify, sample_size


def test_hypergeometric() -> None:
    from scipy.stats import hypergeom

    random = np.random.default_rng(0)
    for _ in range(1_000):
        population = int(random.integers(1, 10 ** int(random.integers(1, 7))))
        marked, drawn = (int(one) for one in random.integers(0, population + 1, 2))
        found = int(random.integers(0, min(marked, drawn, 300) + 2))
        expected = float(hypergeom.cdf(found, population, marked, drawn))
        assert hypergeometric_cdf(found, population, marked, drawn) == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_beta_and_a_fair_coin() -> None:
    from scipy.stats import beta, binom

    for a in (1, 5, 100):
        for b in (1, 3, 50):
            for probability in (0.001, 0.05, 0.9):
                assert beta_quantile(probability, a, b) == pytest.approx(float(beta.ppf(probability, a, b)), rel=1e-9)
    assert beta_quantile(0.05, 0, 8) == 0.0
    for trials in (1, 10, 64, 2_000):
        for successes in range(0, trials + 1, max(1, trials // 40)):
            expected = float(binom.sf(successes - 1, trials, 0.5))
            assert fair_tail(successes, trials) == pytest.approx(expected, rel=1e-9)


def test_samples_are_as_large_and_bounds_as_wide_as_scipy_says_or_by_one_more_where_chances_are_equal() -> None:
    from scipy.stats import hypergeom

    for population in (1, 5, 20, 40, 300, 6_000, 1_000_000):
        for bound in (0.001, 0.01, 0.2):
            for confidence in (0.9, 0.95, 0.99):
                size, foreign = sample_size(population, bound=bound, confidence=confidence), int(bound * population) + 1
                if foreign > population:
                    assert size == 0
                    continue
                allowed = 1 - confidence
                assert hypergeom.pmf(0, population, foreign, size) <= allowed
                assert hypergeom.pmf(0, population, foreign, size - 1) > allowed * (1 - 1e-9)
    for population, sampled, foreign in ((40, 38, 0), (300, 38, 1), (6_000, 40, 0), (6_000, 299, 0), (6_000, 300, 4)):
        count = round(certify(population, sampled=sampled, foreign=foreign, confidence=0.95).bound * population)
        assert hypergeom.cdf(foreign, population, count, sampled) > 0.05 * (1 - 1e-9)
        assert hypergeom.cdf(foreign, population, count + 1, sampled) <= 1 - 0.95


def test_nothing_that_a_check_decides_by_imports_scipy_stats() -> None:
    code = (
        "import sys\n"
        "from vecrollback.quality.purity.certificate import certify, sample_size\n"
        "certify(500, sampled=sample_size(500, bound=0.01, confidence=0.95), foreign=0, confidence=0.95)\n"
        "sys.exit('scipy.stats' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
