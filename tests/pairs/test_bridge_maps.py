"""Maps between two spaces: each kind finds what it can find, and the one that finds most is chosen."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vecrollback.pairs.bridge_maps import BridgeMap, choose_map, decode_map, fit_maps, nearest, recall

Floats = NDArray[np.float32]


def units(array: NDArray[np.float64]) -> Floats:
    return np.asarray(array / np.linalg.norm(array, axis=1, keepdims=True), np.float32)


def cloud(count: int, dimension: int, seed: int = 1) -> Floats:
    """Vectors with a few strong directions, as models have them."""
    random = np.random.default_rng(seed)
    strength = 1 / np.sqrt(1 + np.arange(dimension))
    return units(random.standard_normal((count, dimension)) * strength + 0.3)


def fitted(source: Floats, target: Floats) -> dict[str, BridgeMap]:
    return {one.method: one for one in fit_maps(source, target, "cosine")}


def test_a_rotation_is_found_again_exactly() -> None:
    source = cloud(600, 24)
    turn = np.linalg.qr(np.random.default_rng(2).standard_normal((24, 24)))[0]
    target = (source @ turn).astype(np.float32)
    mapped = fitted(source[:500], target[:500])["orthogonal"].apply(source[500:])
    assert np.einsum("ij,ij->i", mapped, target[500:]).min() > 0.9999


def test_dimensions_may_differ_either_way() -> None:
    wide, narrow = cloud(500, 32), cloud(500, 12, seed=3)
    for source, target in ((wide, narrow), (narrow, wide)):
        for one in fit_maps(source, target, "cosine"):
            mapped = one.apply(source[:7])
            assert mapped.shape == (7, target.shape[1])
            assert np.linalg.norm(mapped, axis=1) == pytest.approx(1, abs=1e-5)


def test_what_bends_is_followed_by_local_maps_and_the_choice_sees_it() -> None:
    source = cloud(4_000, 16)
    bend = np.random.default_rng(4).standard_normal((16, 48))
    target = units(np.cos(3 * source @ bend))
    maps = list(fit_maps(source[400:], target[400:], "cosine"))
    truth = nearest(target[:200], target[400:], "cosine")
    found = {one.method: recall(truth, nearest(one.apply(source[:200]), target[400:], "cosine")) for one in maps}
    chosen = choose_map(iter(maps), source[200:400], target[200:400], target[400:])
    assert chosen.method.startswith("local maps")
    assert found[chosen.method] > max(value for name, value in found.items() if not name.startswith("local")) + 0.05


def test_of_two_alike_the_stiffer_is_taken() -> None:
    source = cloud(600, 24)
    maps = list(fit_maps(source[100:], source[100:], "cosine"))
    assert choose_map(iter(maps), source[:100], source[:100], source[100:]).method == "orthogonal"


def test_a_map_is_read_back_as_it_was_written() -> None:
    source, target = cloud(600, 24), cloud(600, 16, seed=5)
    for one in fit_maps(source, target, "dot"):
        again = decode_map(one.encoded({"rows": 600}))
        assert (again.method, again.metric) == (one.method, "dot")
        # anchors are kept in half precision
        assert again.apply(source[:20]) == pytest.approx(one.apply(source[:20]), abs=2e-3)


def test_nearest_by_distance_is_not_nearest_by_product() -> None:
    base = np.array([[1, 0], [3, 0.1], [0, 1]], np.float32)
    query = np.array([[1, 0]], np.float32)
    assert nearest(query, base, "l2", 1).tolist() == [[0]]
    assert nearest(query, base, "dot", 1).tolist() == [[1]]
