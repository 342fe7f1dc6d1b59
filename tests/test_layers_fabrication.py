"""Fabrication: published check values, properties, and simulation against the closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from aistack.layers import fabrication as fab
from aistack.trace import trace

H100_MM2 = 814.0
areas = st.floats(1.0, 858.0)
densities = st.floats(0.0, 2.0)
clusterings = st.floats(0.1, 50.0)


def brute_force_dies(width, height, radius, steps=100):
    """Count the dies of a grid at many offsets, corner by corner."""
    i, j = np.meshgrid(np.arange(-40, 40), np.arange(-40, 40))
    best = 0
    for x0 in np.linspace(0, width, steps):
        for y0 in np.linspace(0, height, steps):
            x, y = i * width + x0, j * height + y0
            far = np.maximum(x**2, (x + width) ** 2) + np.maximum(y**2, (y + height) ** 2)
            best = max(best, int(np.sum(far <= radius**2 + 1e-6)))
    return best


# --- dies on a wafer


def test_dies_per_wafer_h100_is_63_and_a_half():
    assert fab.dies_per_wafer(H100_MM2) == pytest.approx(63.48, abs=0.01)


def test_dies_per_wafer_textbook_die_is_270():
    # Hennessy and Patterson's example: a square of 1.5 cm on 300 mm
    assert fab.dies_per_wafer(225.0) == pytest.approx(270, abs=0.5)


def test_dies_per_wafer_of_a_die_beyond_the_wafer_is_zero():
    assert fab.dies_per_wafer(60_000.0) == 0


@given(areas)
def test_dies_per_wafer_is_below_the_ratio_of_areas(area):
    assert 0 <= fab.dies_per_wafer(area) < fab.wafer_area_mm2() / area


@given(areas, st.floats(1.1, 3.0))
def test_dies_per_wafer_depends_on_the_ratio_only(area, scale):
    assert fab.dies_per_wafer(area * scale**2, 300.0 * scale) == pytest.approx(fab.dies_per_wafer(area), rel=1e-9)


def test_place_dies_h100_beats_the_estimate():
    wide, square = fab.place_dies(26.0, H100_MM2 / 26), fab.place_dies(H100_MM2**0.5, H100_MM2**0.5)
    assert (wide.count, square.count) == (69, 70)
    assert fab.place_dies(26.0, H100_MM2 / 26, edge_mm=3.0, scribe_mm=0.1).count == 67


def test_place_dies_known_small_cases():
    assert fab.place_dies(1.0, 1.0, diameter_mm=2**0.5).count == 1  # the square that just fits
    assert fab.place_dies(1.0, 1.0, diameter_mm=1.4).count == 0
    assert fab.place_dies(1.0, 1.0, diameter_mm=5**0.5).count == 2
    assert fab.place_dies(1.0, 1.0, diameter_mm=8**0.5).count == 4


@pytest.mark.parametrize(("width", "height", "diameter"), [(26.0, 33.0, 300.0), (7.0, 31.0, 150.0)])
def test_place_dies_is_not_beaten_by_brute_force(width, height, diameter):
    placed = fab.place_dies(width, height, diameter)
    assert placed.count >= brute_force_dies(width, height, diameter / 2)
    i, j = np.meshgrid(np.arange(-40, 40), np.arange(-40, 40))
    x, y = i * width + placed.offset_x_mm, j * height + placed.offset_y_mm
    far = np.hypot(np.maximum(abs(x), abs(x + width)), np.maximum(abs(y), abs(y + height)))
    assert np.sum(far <= diameter / 2 + 1e-6) == placed.count  # the offset it returns does reach the count


@given(st.floats(8.0, 60.0), st.floats(8.0, 60.0))
@settings(max_examples=30)
def test_place_dies_turned_wafer_has_the_same_count(width, height):
    assert fab.place_dies(width, height).count == fab.place_dies(height, width).count


def test_wafer_map_agrees_with_a_simulated_wafer():
    sites = fab.wafer_map(26.0, 31.0, fab.site_uniforms(12, 14, seed=1), 0.5)
    wafer = fab.simulate_wafer(26.0, 31.0, 0.1, np.random.default_rng(1))  # both have a die corner on the centre
    assert sites.inside.sum() == len(wafer.defects)
    assert np.sort(sites.x_mm[sites.inside]) == pytest.approx(np.sort(wafer.x_mm + 13.0))


def test_wafer_map_marks_outside_sites():
    sites = fab.wafer_map(20.0, 20.0, fab.site_uniforms(15, 15, seed=1), 1.0, edge_mm=3.0)
    assert np.isnan(sites.x_mm[~sites.inside]).all() and np.isnan(sites.y_mm[~sites.inside]).all()
    assert (sites.good == sites.inside).all()
    assert np.hypot(abs(sites.x_mm) + 10, abs(sites.y_mm) + 10)[sites.inside].max() <= 147


@given(st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_wafer_map_good_dies_stay_good_as_yield_rises(one, other):
    uniforms = fab.site_uniforms(11, 13, seed=3)
    low, high = (fab.wafer_map(26.0, 31.0, uniforms, y).good for y in sorted((one, other)))
    assert not np.any(low & ~high)


# --- yield


def test_yield_models_published_values():
    got = [float(fab.die_yield(H100_MM2, 0.1, model)) for model in range(4)]
    assert got == pytest.approx([0.4431, 0.4681, 0.5513, 0.4867], abs=5e-5)


@given(areas, densities, clusterings)
def test_yield_models_keep_their_order(area, density, alpha):
    poisson, murphy, seeds = (float(fab.die_yield(area, density, m)) for m in range(3))
    assert 0 < poisson <= murphy * (1 + 1e-12) and murphy <= seeds * (1 + 1e-12) and seeds <= 1
    assert poisson <= fab.negative_binomial_yield(area, density, alpha) * (1 + 1e-9)


@given(areas, densities)
def test_negative_binomial_limits_are_poisson_and_seeds(area, density):
    assert fab.negative_binomial_yield(area, density, 1e9) == pytest.approx(fab.poisson_yield(area, density), rel=1e-5)
    assert fab.negative_binomial_yield(area, density, 1.0) == pytest.approx(fab.seeds_yield(area, density))


@given(st.integers(0, 3), areas, st.floats(0.001, 2.0), st.floats(1.01, 3.0))
def test_yield_falls_with_area_and_depends_on_the_product(model, area, density, factor):
    here = float(fab.die_yield(area, density, model))
    assert fab.die_yield(area * factor, density, model) < here
    assert fab.die_yield(area * factor, density / factor, model) == pytest.approx(here)


def test_yield_without_defects_is_one():
    assert [float(fab.die_yield(500.0, 0.0, model)) for model in range(4)] == pytest.approx([1, 1, 1, 1])


def test_murphy_yield_is_poisson_averaged_over_a_triangle():
    defects, mean = H100_MM2 / 100, 0.1
    triangle = stats.triang(0.5, scale=2 * mean)
    average, _ = integrate.quad(lambda d: np.exp(-defects * d) * triangle.pdf(d), 0, 2 * mean, points=[mean])
    assert fab.murphy_yield(H100_MM2, mean) == pytest.approx(average, rel=1e-6)


def test_negative_binomial_yield_is_poisson_averaged_over_a_gamma():
    law = stats.gamma(3.0, scale=0.1 / 3)
    average, _ = integrate.quad(lambda d: np.exp(-H100_MM2 / 100 * d) * law.pdf(d), 0, 3)
    assert fab.negative_binomial_yield(H100_MM2, 0.1, 3.0) == pytest.approx(average, rel=1e-6)


@given(st.floats(0.01, 1.0), areas, clusterings)
def test_implied_defect_density_gives_the_yield_back(fraction, area, alpha):
    density = fab.implied_defect_density(fraction, area, alpha)
    assert fab.negative_binomial_yield(area, density, alpha) == pytest.approx(fraction, rel=1e-9)


def test_yield_with_spares_matches_the_binomial():
    dead = -np.expm1(-8.14 * 0.1 * 0.6 / 144)
    expected = np.exp(-8.14 * 0.1 * 0.4) * stats.binom.cdf(12, 144, dead)
    assert fab.yield_with_spares(H100_MM2, 0.1, 144, 132, 0.6) == pytest.approx(expected)


def test_yield_with_spares_without_spares_is_poisson():
    assert fab.yield_with_spares(H100_MM2, 0.1, 144, 144, 0.6) == pytest.approx(fab.poisson_yield(H100_MM2, 0.1))


# --- simulation against the closed forms


def simulated_yields(count, clustering, seed):
    rng = np.random.default_rng(seed)
    return np.array(
        [fab.simulate_wafer(26.0, H100_MM2 / 26, 0.1, rng, clustering=clustering).yield_fraction for _ in range(count)]
    )


@pytest.mark.parametrize(("clustering", "model", "alpha"), [(np.inf, 0, 3.0), (3.0, 3, 3.0), (1.0, 2, 1.0)])
def test_simulated_wafers_agree_with_the_formula(clustering, model, alpha):
    yields = simulated_yields(1500, clustering, seed=20)
    error = yields.std(ddof=1) / np.sqrt(len(yields))
    assert abs(yields.mean() - fab.die_yield(H100_MM2, 0.1, model, alpha)) < 4 * error
    assert error < 0.01


def test_simulated_clustering_spreads_the_wafers():
    assert simulated_yields(300, 1.0, seed=4).std() > 2 * simulated_yields(300, np.inf, seed=4).std()


def test_simulate_wafer_same_seed_gives_the_same_wafer():
    one, two = (fab.simulate_wafer(26.0, 31.0, 0.2, np.random.default_rng(9), clustering=2.0) for _ in range(2))
    assert np.array_equal(one.defects, two.defects) and np.array_equal(one.defect_x_mm, two.defect_x_mm)


def test_simulate_wafer_counts_the_defects_it_shows():
    offset = fab.place_dies(26.0, 31.0)
    wafer = fab.simulate_wafer(
        26.0, 31.0, 0.3, np.random.default_rng(2), offset_x_mm=offset.offset_x_mm, offset_y_mm=offset.offset_y_mm
    )
    assert len(wafer.defects) == offset.count
    inside = (np.abs(wafer.defect_x_mm - (wafer.x_mm + 13)[:, None]) < 13) & (
        np.abs(wafer.defect_y_mm - (wafer.y_mm + 15.5)[:, None]) < 15.5
    )
    assert np.array_equal(inside.sum(axis=1), wafer.defects)


# --- the ramp


@given(st.floats(0.0, 60.0), st.floats(0.2, 3.0), st.floats(0.01, 0.1), st.floats(1.0, 24.0))
def test_months_to_defect_density_inverts_the_ramp(months, start, floor, constant):
    density = fab.defect_density_after(months, start, floor, constant)
    if density - floor > 1e-9:
        assert fab.months_to_defect_density(density, start, floor, constant) == pytest.approx(months, abs=1e-3)


def test_defect_density_after_starts_and_ends_right():
    assert fab.defect_density_after(0.0, 0.5, 0.1, 6.0) == pytest.approx(0.5)
    assert fab.defect_density_after(1e4, 0.5, 0.1, 6.0) == pytest.approx(0.1)


# --- cost


def test_die_cost_h100_is_hundreds_not_thousands():
    before_yield = [fab.die_cost(price, fab.dies_per_wafer(H100_MM2), 1.0) for price in (16_000.0, 20_000.0)]
    assert before_yield == pytest.approx([252.0, 315.1], abs=0.1)
    worst = fab.die_cost(20_000.0, fab.dies_per_wafer(H100_MM2), fab.poisson_yield(H100_MM2, 0.1))
    assert worst == pytest.approx(711, abs=1)


def test_gross_margin_survey_figures_do_not_agree():
    assert fab.gross_margin(28_000.0, 2_100.0) == pytest.approx(0.925)
    assert fab.gross_margin(28_000.0, 3_320.0) == pytest.approx(0.881, abs=5e-4)


@given(areas, densities)
def test_price_per_transistor_of_a_perfect_die_is_that_of_its_share_of_the_wafer(area, density):
    per_wafer = fab.price_per_billion_transistors(16_000.0, fab.wafer_area_mm2(), 137.6)
    die = fab.die_cost(16_000.0, fab.wafer_area_mm2() / area, 1.0)
    assert fab.price_per_billion_transistors(die, area, 137.6) == pytest.approx(per_wafer)


def test_assembled_cost_of_amd_naples_needs_a_plausible_defect_density():
    # AMD (Hot Chips 2017): four dies, 10 % more silicon, 0.59 of the die cost of one 777 mm2 die
    def ratio(density):
        one, four = (fab.assembled_cost(777.0, n, 1.0, density, 1.0, 0.0).silicon_usd for n in (1, 4))
        return four / one

    assert optimize.brentq(lambda d: ratio(d) - 0.59, 0.01, 1.0) == pytest.approx(0.095, abs=0.005)


def test_assembled_cost_of_one_die_is_its_die_cost():
    cost = fab.assembled_cost(500.0, 1, 16_000.0, 0.1, 1.0, 0.0)
    dies = fab.dies_per_wafer(500.0)
    assert cost.total_usd == pytest.approx(fab.die_cost(16_000.0, dies, fab.negative_binomial_yield(500.0, 0.1)))
    assert cost.lost_usd == pytest.approx(0)


@given(st.floats(50.0, 800.0), st.integers(1, 8), st.floats(0.01, 1.0), st.floats(0.8, 1.0), st.floats(0.0, 2000.0))
def test_assembled_cost_adds_up(area, parts, density, bonding, package):
    cost = fab.assembled_cost(area, parts, 16_000.0, density, bonding, package)
    assert cost.silicon_usd + cost.package_usd + cost.lost_usd == pytest.approx(cost.total_usd)
    assert cost.lost_usd >= -1e-9


def test_assembled_cost_chiplets_lose_when_defects_are_few_and_bonding_is_poor():
    def cost(parts, density, bonding):
        return fab.assembled_cost(800.0, parts, 16_000.0, density, bonding, 300.0).total_usd

    assert cost(4, 0.2, 0.99) < cost(1, 0.2, 0.99)
    assert cost(4, 0.01, 0.9) > cost(1, 0.01, 0.9)


def test_capital_cost_per_wafer_halves_with_twice_the_wafers():
    full = fab.capital_cost_per_wafer(20e9, 40_000)
    assert fab.capital_cost_per_wafer(20e9, 80_000) == pytest.approx(full / 2)
    assert fab.capital_cost_per_wafer(20e9, 40_000, 5, 0.5) == pytest.approx(full * 2)


# --- light


def test_half_pitch_gives_the_vendors_resolutions():
    # ASML: immersion 38 nm, EUV 13 nm, High-NA 8 nm
    optics = ((0.266, 193, 1.35), (0.32, 13.5, 0.33), (0.32, 13.5, 0.55))
    got = [fab.half_pitch_nm(k1, wavelength, na) for k1, wavelength, na in optics]
    assert got == pytest.approx([38, 13, 8], rel=0.03)


def test_exposure_passes_counts():
    assert [int(fab.exposure_passes(target, 38.0)) for target in (40.0, 38.0, 20.0, 19.0, 10.0)] == [1, 1, 2, 2, 4]


def test_field_area_is_858_and_half_for_high_na():
    assert fab.field_area_mm2(104.0, 132.0) == 858.0
    assert fab.field_area_mm2(104.0, 132.0, 4.0, 8.0) == 429.0


def test_photons_per_nm2_matches_the_photon_energy():
    euv_photon_j = 91.84 * 1.602176634e-19  # 13.5 nm is 91.84 eV
    assert fab.photons_per_nm2(30.0, 13.5) == pytest.approx(30e-3 / 1e14 / euv_photon_j, rel=1e-4)


def test_mirror_transmission_ten_mirrors_pass_three_percent():
    assert fab.mirror_transmission(0.7, 10) == pytest.approx(0.0282, abs=1e-4)


@given(st.floats(0.0, 15.0), st.floats(10.0, 100.0))
def test_throughput_at_dose_is_between_all_and_no_overhead(overhead, dose):
    got = fab.throughput_at_dose(220.0, 30.0, dose, overhead)
    low, high = sorted((220.0, fab.throughput_at_dose(220.0, 30.0, dose)))
    assert low - 1e-9 <= got <= high + 1e-9


@given(st.floats(1.0, 5.0))
def test_power_density_is_constant_with_dennards_voltage(shrink):
    assert fab.power_density_ratio(shrink, 1 / shrink) == pytest.approx(1.0)
    assert fab.power_density_ratio(shrink, 1.0) == pytest.approx(shrink**2)


# --- explorers and errors


def test_explorer_functions_can_be_traced():
    uniforms = fab.site_uniforms(15, 15, seed=2)

    def wafer(price, width, height, density, model):
        fraction = fab.die_yield(width * height, density, model)
        dies = fab.dies_per_wafer(width * height)
        cost = fab.die_cost(price, dies, fraction)
        sites = fab.wafer_map(width, height, uniforms, fraction, edge_mm=3.0)
        return {
            "cost": cost,
            "per": fab.price_per_billion_transistors(cost, width * height, 137.6),
            "good": sites.good,
            "x": sites.x_mm,
        }

    def split(area, density, bonding, parts, package):
        return vars(fab.assembled_cost(area, parts, 16_000.0, density, bonding, package))

    def light(k1, wavelength, na):
        half_pitch = fab.half_pitch_nm(k1, wavelength, na)
        return {
            "half_pitch": half_pitch,
            "focus": fab.depth_of_focus_nm(1.0, wavelength, na),
            "passes": fab.exposure_passes(16.0, half_pitch),
        }

    graph = trace(wafer, {"price": 16e3, "width": 26.0, "height": 31.0, "density": 0.1, "model": 3})
    assert graph["outputs"]["good"][1] == [15, 15]
    graph = trace(split, {"area": 800.0, "density": 0.1, "bonding": 0.99, "parts": 4, "package": 300.0})
    assert "total_usd" in graph["outputs"]
    assert len(trace(light, {"k1": 0.3, "wavelength": 13.5, "na": 0.33})["outputs"]) == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fab.dies_per_wafer(0.0), "area_mm2 must be positive, not 0.0"),
        (lambda: fab.poisson_yield(100.0, -0.1), "defect_density_per_cm2 must be zero or more"),
        (lambda: fab.negative_binomial_yield(100.0, 0.1, 0.0), "clustering must be positive"),
        (lambda: fab.die_yield(100.0, 0.1, 4), "model must be 0 to 3"),
        (
            lambda: fab.die_cost(16e3, 60, 45.0),
            "yield_fraction must be above 0 and at most 1, not 45.0; give 0.9 for 90 %",
        ),
        (lambda: fab.assembled_cost(800.0, 0, 16e3, 0.1, 0.99, 0.0), "parts must be 1 or more"),
        (lambda: fab.place_dies(26.0, 33.0, edge_mm=150.0), "usable_radius_mm must be positive"),
        (lambda: fab.wafer_map(5.0, 5.0, fab.site_uniforms(9, 9, 1), 0.5), "uniforms must cover the wafer"),
        (lambda: fab.yield_with_spares(814.0, 0.1, 144, 145, 0.5), "needed must be between 0 and units"),
        (lambda: fab.months_to_defect_density(0.1, 0.5, 0.1, 6.0), "target_per_cm2 must be above the floor"),
        (lambda: fab.half_pitch_nm(0.3, 13.5, np.array([0.33, -0.5])), "numerical_aperture must be positive"),
        (lambda: fab.throughput_at_dose(220.0, 30.0, 50.0, 20.0), "overhead_s must be below"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        call()
