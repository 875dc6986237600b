"""The prior as a cube: marginals are the stated priors, choices are even, points average as a normal law does."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations_with_replacement, product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import qmc

from antagony.case import Case
from antagony.mechanism import Variant
from antagony.parameters import Parameter, Prior
from antagony.posterior.bank import draw_cube, two_level
from antagony.posterior.cube import Cube, _row, build_cube, list_structures, rebuild_cube
from antagony.readout import late_parameters

Array = NDArray[np.float64]

SLUGS = [
    *("camp_crosstalk", "pi3k_crosstalk", "camp_flipped", "direct_opioid", "opioid_potentiation", "opioid_release"),
    *("nmda_rest", "glutamate_surge", "gated_surge", "hnk", "opioid_expectancy", "none"),
]
APART = ("placebo_size", "placebo_time", "score_baseline")
SIZE = 2**14
SIGMA = 4.5  # two-sided 7 in a million: some 10,000 comparisons are made


def cube_of(case: Case, slug: str) -> Cube:
    structure = list_structures(case, slug)[-1]
    model = case.mechanism(slug, ["ketamine", "naltrexone"], structure.variants)
    return build_cube(case, structure, [model], late=late_parameters(model), apart=APART)


def row(name: str, nominal: float, prior: Prior | None) -> Parameter:
    return Parameter(name, name, nominal, "nM", prior is not None, prior, 0.0, "log-normal", "assumed", "", "", "", 1)


def variant(axis: str, name: str, values: dict[str, float] | None = None, **priors: Prior) -> Variant:
    return Variant(axis, name, "", values or {}, priors)


def test_every_rival_is_tested(case: Case) -> None:
    assert set(SLUGS) == set(case.wirings)


@pytest.mark.parametrize("slug", SLUGS)
def test_structures_cover_every_choice_of_equations_and_share_one(case: Case, slug: str) -> None:
    """Spelled out from the mechanism's own variants, those of proof left out."""
    listed = list_structures(case, slug)
    assert sum(s.share for s in listed) == pytest.approx(1, abs=1e-12)
    assert len({s.share for s in listed}) == 1
    own = [v for v in case.wiring(slug).variants if not v.proof]
    axes = sorted({v.axis for v in own if v.changes_equations})
    wanted = set(product(*([v.name for v in own if v.axis == axis] for axis in axes)))
    found = [tuple(s.variants[axis] for axis in axes) for s in listed]
    assert set(found) == wanted
    assert len(found) == len(wanted)
    assert len({s.name for s in listed}) == len(listed)


def test_a_chosen_variant_is_held(case: Case) -> None:
    listed = list_structures(case, "direct_opioid", {"road": "camp"})
    assert [(s.variants["road"], s.share) for s in listed] == [("camp", 1.0)]


def laws(cube: Cube, parameter: Parameter, choices: dict[str, NDArray[np.int64]]) -> list[tuple[object, NDArray]]:
    """Every law that a parameter may follow (a Prior or a number), and the draws that follow it."""
    size = len(next(iter(choices.values()))) if choices else SIZE
    axes = [a for a in cube.axes if any(parameter.id in v.values or parameter.id in v.priors for v in a)]
    found = []
    for chosen in product(*(range(len(axis)) for axis in axes)):
        here = np.ones(size, dtype=bool)
        law: object = parameter.prior if parameter.prior is not None else parameter.nominal
        for axis, k in zip(axes, chosen, strict=True):
            here &= choices[axis[0].axis] == k
            law = axis[k].priors.get(parameter.id, axis[k].values.get(parameter.id, law))
        found.append((law, here))
    return found


@pytest.mark.parametrize("slug", SLUGS)
def test_marginals_are_the_stated_priors_given_the_variants(case: Case, slug: str) -> None:
    """Of n independent draws a share q +- sqrt(q (1 - q)/n) lies below the q-quantile; a set value is exact."""
    cube = cube_of(case, slug)
    assert cube.size == len(cube.names) > 30
    assert not {*APART} & {*cube.names}
    u = np.random.default_rng(3).random((SIZE, cube.size))
    values, choices = cube.draws(u).values, cube.choices(u)
    checked = 0
    for parameter in cube.parameters:
        for law, here in laws(cube, parameter, choices):
            own = values[parameter.id][here]
            assert own.size > SIZE / 50
            if isinstance(law, Prior):
                for q in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98):
                    share = (own <= float(law.quantile(q))).mean()
                    assert abs(share - q) < SIGMA * np.sqrt(q * (1 - q) / own.size), (parameter.id, law.text, q)
                checked += 1
            else:
                np.testing.assert_array_equal(own, law)
    assert checked >= cube.size - len(cube.axes) - 4


@pytest.mark.parametrize("slug", SLUGS)
def test_variants_are_equally_frequent(case: Case, slug: str) -> None:
    """Exactly so for points that are even in every column."""
    cube = cube_of(case, slug)
    u = (np.arange(600)[:, None] + 0.5) / 600 * np.ones(cube.size)
    for axis, (name, chosen) in zip(cube.axes, cube.choices(u).items(), strict=True):
        assert {v.axis for v in axis} == {name}
        assert Counter(chosen.tolist()) == dict.fromkeys(range(len(axis)), 600 // len(axis))


def test_a_choice_takes_its_share_of_the_cube_at_both_ends() -> None:
    axis = tuple(variant("a", name, {"x": value}) for name, value in (("p", 1.0), ("q", 2.0), ("r", 3.0)))
    cube = Cube((row("x", 5.0, None),), (axis,), ())
    u = np.column_stack([np.zeros(6), [0.0, 0.333, 0.334, 0.666, 0.667, 1.0]])
    np.testing.assert_array_equal(cube.draws(u).values["x"], [1, 1, 2, 2, 3, 3])


def test_variants_draw_set_or_leave_a_number() -> None:
    """One column serves the row's prior, another prior, and nothing where the value is set."""
    axis = (variant("a", "own"), variant("a", "other", x=Prior("uniform", (10.0, 20.0))), variant("a", "set", {"x": 7}))
    cube = Cube((row("x", 0.5, Prior("uniform", (0.0, 1.0))),), (axis,), (row("y", 2.0, Prior("normal", (2.0, 1.0))),))
    assert cube.names == ("x", "a", "y")
    u = np.array([[0.3, 0.1, 0.5], [0.3, 0.5, 0.5], [0.3, 0.9, 0.5]])
    np.testing.assert_allclose(cube.draws(u).values["x"], [0.3, 13.0, 7.0], rtol=1e-12)
    np.testing.assert_allclose(cube.draws(u).values["y"], 2.0, atol=1e-12)


def test_a_number_that_only_a_variant_draws_keeps_its_nominal_value_otherwise() -> None:
    """Its row may state a prior for others to use; where nothing is to be estimated it is not drawn."""
    axis = (variant("a", "fixed"), variant("a", "drawn", x=Prior("uniform", (10.0, 20.0))))
    stated = replace(row("x", 0.5, Prior("uniform", (0.0, 1.0))), estimate=False)
    cube = Cube((_row(stated, (axis,)),), (axis,), ())
    u = np.array([[0.3, 0.1], [0.3, 0.9]])
    np.testing.assert_allclose(cube.draws(u).values["x"], [0.5, 13.0], rtol=1e-12)


@pytest.mark.parametrize("slug", SLUGS)
def test_a_cube_is_rebuilt_from_its_names(case: Case, slug: str) -> None:
    structure, cube = list_structures(case, slug)[-1], cube_of(case, slug)
    names = ([p.id for p in cube.early], [axis[0].axis for axis in cube.axes], [p.id for p in cube.late])
    again = rebuild_cube(case, structure, *names)
    assert again == cube
    u = np.random.default_rng(1).random((50, cube.size))
    before, after = cube.draws(u).values, again.draws(u).values
    assert before.keys() == after.keys()
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])


@pytest.mark.parametrize("slug", SLUGS)
def test_columns_are_early_numbers_then_axes_then_late_ones(case: Case, slug: str) -> None:
    cube = cube_of(case, slug)
    late = late_parameters(case.mechanism(slug, ["ketamine", "naltrexone"], list_structures(case, slug)[-1].variants))
    assert {p.id for p in cube.late} <= late
    assert not {p.id for p in cube.early} & late
    assert len(set(cube.names)) == cube.size
    assert [cube.column(name) for name in cube.names] == list(range(cube.size))


# --- points --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factors", range(8))
def test_two_level_points_have_the_moments_of_a_normal_law(factors: int) -> None:
    points = two_level(factors)
    assert points.shape[1] == factors
    assert len(points) <= 8
    if factors == 0:
        return
    np.testing.assert_array_equal(points.mean(axis=0), 0)
    np.testing.assert_array_equal(points.T @ points / len(points), np.eye(factors))


@pytest.mark.parametrize("factors", range(1, 8))
def test_two_level_points_are_of_degree_three_up_to_four_factors(factors: int) -> None:
    """Every cubic monomial of N(0, I) has mean 0; beyond four factors eight points cannot have that."""
    points = two_level(factors)
    means = [points[:, list(m)].prod(axis=1).mean() for m in combinations_with_replacement(range(factors), 3)]
    if factors <= 4:
        np.testing.assert_array_equal(means, 0)
    else:
        assert np.abs(means).max() == 1


# --- blocks of draws -----------------------------------------------------------------------------------------------


def small_cube(late: int = 2) -> Cube:
    some = [row(f"x{i}", 0.5, Prior("uniform", (0.0, 1.0))) for i in range(3 + late)]
    axis = (variant("a", "one"), variant("a", "two"))
    return Cube(tuple(some[:3]), (axis,), tuple(some[3:]))


def test_the_same_seed_gives_the_same_bits_and_another_block_other_points() -> None:
    cube = small_cube()
    first, again = (draw_cube(cube, 32, 4, seed=5, block=2) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    for other in (draw_cube(cube, 32, 4, seed=5, block=3), draw_cube(cube, 32, 4, seed=6, block=2)):
        for a, b in zip(first, other, strict=True):
            assert not np.isin(a, b).any()


@pytest.mark.parametrize(("size", "each"), [(1, 1), (8, 4), (12, 3), (64, 1)])
def test_a_block_has_so_many_late_draws_for_each_early_one(size: int, each: int) -> None:
    """Early columns do not depend on how many late draws stand beside them, so a stored bank serves any number."""
    cube = small_cube()
    early, late = draw_cube(cube, size, each, seed=1, block=0)
    assert early.shape == (size, cube.early_size)
    assert late.shape == (size * each, len(cube.late))
    for u in (early, late):
        assert ((u > 0) & (u < 1)).all()
    np.testing.assert_array_equal(early, draw_cube(cube, size, 1, seed=1, block=0)[0])


def test_without_late_columns_there_is_nothing_late_to_draw() -> None:
    early, late = draw_cube(small_cube(late=0), 8, 4, seed=1, block=0)
    assert (early.shape, late.shape) == ((8, 4), (32, 0))


def test_points_of_a_block_fill_the_cube_evenly_and_blocks_are_independent() -> None:
    """A block of 64 has one point in each 64th of a column; across blocks the first point is uniform."""
    cube = small_cube()
    early, late = draw_cube(cube, 64, 4, seed=1, block=0)
    for u in (early, late):
        cells = np.sort(np.floor(u * len(u)), axis=0)
        np.testing.assert_array_equal(cells, np.arange(len(u))[:, None] * np.ones(u.shape[1]))
    assert qmc.discrepancy(early) < qmc.discrepancy(np.random.default_rng(1).random(early.shape))
    firsts = np.array([draw_cube(cube, 4, 1, seed=1, block=b)[0][0] for b in range(200)])
    assert np.abs(firsts.mean(axis=0) - 0.5).max() < SIGMA / np.sqrt(12 * 200)
    correlation = np.corrcoef(firsts[:-1, 0], firsts[1:, 0])[0, 1]
    assert abs(correlation) < SIGMA / np.sqrt(200)
