"""The claims ledger: stored verdicts are the computed ones, and sums read their inputs from the data."""

import ast
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aistack import DataError, claims, data
from aistack.claims import Claim, claim, column, compare

ALL = {one.claim_id: one for one in claims.claims()}
LAYERS = sorted({one.layer for one in ALL.values()})

#: Unit factors and shares that an expression may hold, apart from powers of ten, exponents and positions.
FACTORS = {0, 1, 2, 3, 4, 8, 10, 12, 24, 60, 100, 365, 365.25, 1000}

#: Other numbers that stand in an expression, with the reason. An entry that is no longer needed fails.
EXCEPTIONS = {
    "wafer-cost-repeat": ({16000, 20000, 30000}, "the repeated prices are the statement"),
    "iso-class1-0-3um": ({0.3}, "the particle size is the statement"),
    "pcie5-x16-63": ({16, 128, 130}, "lanes and line code of the standard"),
    "ib-hdr-200": ({256, 257, 514, 544}, "line code and error correction of the standard"),
    "ib-fdr-56": ({64, 66}, "line code of the standard"),
    "fat-tree-32768": ({64}, "the number of ports is the statement"),
    "clos-96-for-8000": ({64}, "the number of ports is the statement"),
    "ring-allreduce-2x": ({1024}, "a large number of accelerators, to see the limit"),
    "ring-latency-linear": ({256, 512, 1024}, "three sizes, to see that the increments are equal"),
    "optics-six-per-gpu": ({64}, "ports of the switch that the table of parts names"),
    "network-power-15-20": ({64}, "ports of the switch that the table of parts names"),
    "air-140kw": ({5}, "the wind in m/s that the statement calls unbearable"),
    "pue-virtualisation": ({5e6, 2e6}, "any load: only the direction of the change is stated"),
    "nuclear-6-6": ({0.5}, "what most means"),
}


def one(**changes):
    usual = dict(claim_id="made-up", layer=4, line=None, kind="arithmetic", paraphrase="A is <b>", stated_low=None,
                 stated=10.0, stated_high=None, unit="W", relation="about", tolerance=0.02, literal="10", fair=None,
                 verdict="holds", why="It is.", source_id=None)  # fmt: skip
    return Claim(**{**usual, **changes})


# ---- the course's own claims --------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", LAYERS)
def test_stored_verdicts_are_the_computed_ones(layer):
    assert [(c.claim_id, c.verdict, computed) for c, computed in claims.check(layer)] == []


def test_claims_returns_the_ledger_in_order():
    ids = list(data.load("claims")["claim_id"])
    assert [c.claim_id for c in claims.claims()] == ids == list(ALL)
    assert [c for layer in LAYERS for c in claims.claims(layer)] == sorted(ALL.values(), key=lambda c: c.layer)


@pytest.mark.parametrize("layer", LAYERS)
def test_claims_are_complete(layer):
    for c in claims.claims(layer):
        assert (c.stated_range is None) == (c.relation == "true"), c.claim_id
        assert c.literal or c.verdict == "unconfirmed", c.claim_id
        assert c.literal or not c.fair, c.claim_id
        for which in ("literal", "fair"):
            value = c.computed(which)
            assert (value is None) == (not getattr(c, which))
            assert value is None or isinstance(value, bool) == (c.relation == "true"), (c.claim_id, which)


def literals(source):
    """The numbers typed into an expression, without selectors of rows, positions and exponents."""
    tree, apart = ast.parse(source, mode="eval"), set()
    for node in ast.walk(tree):
        parts = []
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) in ("number", "column"):
            parts = [k.value for k in node.keywords]
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            parts = [node.right]
        elif isinstance(node, ast.Subscript):
            parts = [node.slice]
        apart |= {id(inner) for part in parts for inner in ast.walk(part)}
    numbers = (n for n in ast.walk(tree) if isinstance(n, ast.Constant) and type(n.value) in (int, float))
    return {n.value for n in numbers if id(n) not in apart}


def is_factor(value):
    return value in FACTORS or float(f"1e{round(math.log10(value))}") == value


@pytest.mark.parametrize("layer", LAYERS)
def test_expressions_read_their_inputs_from_the_data(layer):
    typed = {}
    for c in claims.claims(layer):
        found = {v for source in (c.literal, c.fair) if source for v in literals(source) if not is_factor(v)}
        if found != EXCEPTIONS.get(c.claim_id, (set(),))[0]:
            typed[c.claim_id] = sorted(found)
    assert typed == {}, "put these into data/ (a fact, a table) or into EXCEPTIONS with the reason"


def test_exceptions_name_claims_that_exist():
    assert set(EXCEPTIONS) <= set(ALL)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("42 * number('t', 'c', year=2024)", {42}),
        ("column('t', 'c', n=7)[5] ** 9 / 1e-6", {1e-6}),
        ("fact('x').range[1] * 1024 + 3.5", {1024, 3.5}),
        ("networking.fat_tree_endpoints(64, 3)", {64, 3}),
        ("True and 'text 5'", set()),
    ],
)
def test_literals_finds_the_typed_inputs(source, found):
    assert literals(source) == found


# ---- compare ------------------------------------------------------------------------------------------------------

RANK = {"fail": 0, "near": 1, "pass": 2}
RELATIONS = ("about", "at_least", "at_most", "within")
values = st.floats(-1e6, 1e6).map(lambda x: round(x, 3))
pairs = st.tuples(values, values).map(lambda p: (min(p), max(p)))
tolerances = st.sampled_from([0.0, 0.01, 0.02, 0.1, 0.5])


@pytest.mark.parametrize(
    ("computed", "stated", "relation", "verdict"),
    [
        ((102, 102), (100, 100), "about", "pass"),
        ((98, 98), (100, 100), "about", "pass"),
        ((102.1, 102.1), (100, 100), "about", "near"),
        ((106, 106), (100, 100), "about", "near"),
        ((94, 94), (100, 100), "about", "near"),
        ((106.1, 106.1), (100, 100), "about", "fail"),
        ((90, 97), (100, 100), "about", "near"),
        ((90, 120), (100, 100), "about", "pass"),
        ((108, 108), (80, 100), "about", "fail"),
        ((105, 105), (80, 100), "about", "near"),
        ((-102, -102), (-100, -100), "about", "pass"),
        ((0, 0), (0, 0), "about", "pass"),
        ((1e-9, 1e-9), (0, 0), "about", "fail"),
        ((100, 200), (100, 100), "at_least", "pass"),
        ((98, 200), (100, 100), "at_least", "near"),
        ((97, 200), (100, 100), "at_least", "fail"),
        ((1, 100), (100, 100), "at_most", "pass"),
        ((1, 102), (100, 100), "at_most", "near"),
        ((1, 103), (100, 100), "at_most", "fail"),
        ((10, 20), (10, 20), "within", "pass"),
        ((9.9, 20), (10, 20), "within", "near"),
        ((10, 20.3), (10, 20), "within", "near"),
        ((9, 21), (10, 20), "within", "fail"),
        (True, None, "true", "pass"),
        (False, None, "true", "fail"),
        ((1, 1), None, "true", "fail"),
    ],
)
def test_compare_at_two_percent(computed, stated, relation, verdict):
    assert compare(computed, stated, relation, 0.02) == verdict


@given(stated=pairs, share=st.floats(0, 1), tolerance=tolerances)
def test_compare_inside_the_stated_range_passes_about_and_within(stated, share, tolerance):
    inside = min(max(stated[0] + share * (stated[1] - stated[0]), stated[0]), stated[1])
    assert compare((inside, inside), stated, "about", tolerance) == "pass"
    assert compare((inside, inside), stated, "within", tolerance) == "pass"


@given(
    computed=pairs, stated=pairs, tolerance=tolerances, relation=st.sampled_from(RELATIONS), power=st.integers(-9, 9)
)
def test_compare_does_not_depend_on_the_unit(computed, stated, tolerance, relation, power):
    scaled = [tuple(x * 2.0**power for x in pair) for pair in (computed, stated)]
    assert compare(*scaled, relation, tolerance) == compare(computed, stated, relation, tolerance)


@given(computed=pairs, stated=pairs, tolerance=tolerances, relation=st.sampled_from(RELATIONS))
def test_compare_is_no_stricter_with_more_tolerance(computed, stated, tolerance, relation):
    ranks = [RANK[compare(computed, stated, relation, tolerance + more)] for more in (0, 0.1, 0.4)]
    assert ranks == sorted(ranks)


@given(computed=pairs, stated=pairs, tolerance=tolerances)
def test_compare_mirrors_at_least_and_at_most(computed, stated, tolerance):
    mirrored = [(-high, -low) for low, high in (computed, stated)]
    assert compare(computed, stated, "at_least", tolerance) == compare(*mirrored, "at_most", tolerance)
    for relation in ("about", "within"):
        assert compare(*mirrored, relation, tolerance) == compare(computed, stated, relation, tolerance)


@given(computed=pairs, stated=pairs)
def test_compare_passes_a_bound_exactly_when_it_holds(computed, stated):
    assert (compare(computed, stated, "at_least", 0.0) == "pass") == (computed[0] >= stated[0])
    assert (compare(computed, stated, "at_most", 0.0) == "pass") == (computed[1] <= stated[1])


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize(("computed", "stated"), [(True, (1, 1)), ((1, 1), None)])
def test_compare_refuses_what_it_cannot_compare(relation, computed, stated):
    with pytest.raises(DataError, match=f"relation {relation!r} needs a number and a stated value"):
        compare(computed, stated, relation, 0.02)


def test_compare_unknown_relation_is_refused():
    with pytest.raises(DataError, match="no relation 'atleast': use about, at_least"):
        compare((1, 1), (1, 1), "atleast", 0.02)


# ---- one claim ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("literal", "fair", "verdict"),
    [
        ("10", None, "holds"),
        ("10", "10.1", "holds"),
        ("10.5", None, "approximate"),
        ("10", "10.5", "approximate"),
        ("10.5", "10.5", "approximate"),
        ("10", "20", "misleading"),
        ("10.5", "20", "misleading"),
        ("20", None, "conflicts"),
        ("20", "10", "conflicts"),
        (None, None, "unconfirmed"),
        ("(9, 11)", None, "holds"),
    ],
)
def test_verdict_follows_from_literal_and_fair(literal, fair, verdict):
    assert one(literal=literal, fair=fair).computed_verdict() == verdict


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("(1, 2)", (1.0, 2.0)),
        ("[1, 2]", (1.0, 2.0)),
        ("np.float64(3)", (3.0, 3.0)),
        ("1 < 2", True),
        ("np.bool_(False)", False),
        ("sum(x for x in (1, 2, len('abc')))", (6.0, 6.0)),
        ("units.GB / units.MB + math.floor(0.5)", (1000.0, 1000.0)),
        ("max(column('nvlink_generations', 'bandwidth_gb_per_s', generation='NVLink 4.0'))", (900.0, 900.0)),
        (
            "number('nvlink_generations', 'bandwidth_gb_per_s', generation='NVLink 4.0', source_id='survey')",
            (900.0,) * 2,
        ),
    ],
)
def test_computed_gives_a_pair_or_a_bool(source, value):
    assert one(literal=source).computed() == value


def test_computed_takes_a_fact_as_its_range():
    ident = data.load("facts")["fact_id"][0]
    assert one(literal=f"fact({ident!r})").computed() == data.fact(ident).range


def test_computed_imports_a_layer_when_it_is_named():
    assert one(literal="networking.fat_tree_endpoints(4, 3)").computed() == (16.0, 16.0)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.x", "nowhere"),
        ("1 +", "invalid syntax"),
        ("1 / 0", "division by zero"),
        ("math.inf", "an expression must give a number, a (low, high) pair or a bool, not inf"),
        ("np.nan", "an expression must give a number"),
        ("(2, 1)", "not (2, 1)"),
        ("(1, 2, 3)", "not (1, 2, 3)"),
        ("fact('survey-nothing-of-that-name')", "no fact 'survey-nothing-of-that-name'"),
        ("number('nvlink_generation', 'x')", "did you mean 'nvlink_generations'?"),
        ("open('x')", "open"),
        ("__import__('os')", "__import__"),
        ("networking.no_such_function()", "no_such_function"),
    ],
)
def test_computed_error_names_claim_expression_and_cause(source, message):
    with pytest.raises(DataError) as refused:
        one(literal=source).computed()
    text = str(refused.value)
    assert text.startswith(f"claim 'made-up': literal {source!r}: ") and message in text


def test_computed_error_names_the_fair_reading():
    with pytest.raises(DataError, match="claim 'made-up': fair '1 / 0': division by zero"):
        one(fair="1 / 0").computed_verdict()


def test_stated_range_spans_what_is_stated():
    assert one(stated=5.0, stated_low=1.0, stated_high=9.0).stated_range == (1.0, 9.0)
    assert one(stated=None, stated_low=1.0, stated_high=9.0).stated_range == (1.0, 9.0)
    assert one().stated_range == (10.0, 10.0)
    assert one(stated=None).stated_range is None


def test_claim_unknown_id_suggests_the_nearest():
    known = next(iter(ALL))
    assert claim(known) is ALL[known]
    with pytest.raises(DataError, match=rf"no claim '{known}x' in claims.csv; did you mean '{known}'\?"):
        claim(known + "x")


@pytest.mark.parametrize(
    ("name", "where", "message"),
    [
        ("bandwidth", {}, "nvlink_generations: no column 'bandwidth'; it has generation, "),
        ("bandwidth_gb_per_s", {"brand": "x"}, "nvlink_generations: no column 'brand'; it has generation, "),
        (
            "bandwidth_gb_per_s",
            {"generation": "x"},
            "nvlink_generations: no 'bandwidth_gb_per_s' where {'generation': 'x'}",
        ),
    ],
)
def test_column_refuses_with_what_is_there(name, where, message):
    with pytest.raises(DataError, match=re.escape(message)):
        column("nvlink_generations", name, **where)


def test_column_leaves_empty_cells_out():
    frame = data.load("facts")
    empty = frame["value"].isna()
    assert empty.any() and len(column("facts", "value")) == (~empty).sum()


# ---- the ledger as words ------------------------------------------------------------------------------------------


def test_main_prints_the_ledger_and_returns_zero(capsys):
    layer = LAYERS[-1]
    assert claims.main([str(layer)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == [c.claim_id for c in claims.claims(layer)]
    assert lines[-1] == f"0 of {len(claims.claims(layer))} verdicts differ"


def test_main_returns_one_and_shows_what_differs(capsys, monkeypatch):
    made = {
        "good": one(claim_id="good"),
        "bad": one(claim_id="bad", literal="20"),
        "broken": one(claim_id="broken", literal="x"),
    }
    monkeypatch.setattr(claims, "_ledger", lambda: made)
    assert claims.main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(": holds") and lines[1].endswith("STORED holds, COMPUTED conflicts")
    assert "claim 'broken': literal 'x'" in lines[2] and lines[3] == "2 of 3 verdicts differ"


def test_claim_html_escapes_and_shows_stated_and_computed():
    text = one(literal="4 < 5 and 12e3", fair="(1, 20000)", why="5 > 4")._repr_html_()
    assert "A is &lt;b&gt;" in text and "<code>4 &lt; 5 and 12e3</code>" in text and "5 &gt; 4" in text
    assert "10 W" in text and "12,000" in text and "1 to 20,000" in text and "Holds." in text
    assert "in the ledger" not in text


@pytest.mark.parametrize(
    ("pair", "shown"),
    [
        ((3.14159, 3.14159), "3.142"),
        ((1e12, 1e12), "1,000,000,000,000"),
        ((3.64e23, 3.64e23), "3.64 × 10²³"),
        ((1e15, 2.5e26), "1 × 10¹⁵ to 2.5 × 10²⁶"),
    ],
)
def test_numbers_beyond_counting_are_shown_as_powers_of_ten(pair, shown):
    assert claims._shown(pair) == shown


def test_claim_html_links_to_the_ledger_in_the_book(monkeypatch):
    monkeypatch.setenv("AISTACK_BOOK", "1")
    assert 'href="../reference/claims.html#made-up"' in one()._repr_html_()


def test_claim_html_names_its_evidence():
    record = next(s for s in data.sources() if s["locator"] and "&" not in s["locator"])
    text = one(source_id=record["source_id"])._repr_html_()
    assert f'Evidence: <a href="{record["locator"]}">' in text


def test_ledger_html_is_anchored_by_the_id_and_marked_for_the_filters():
    text = one().ledger_html("<p>the end</p>")
    assert text.startswith('<div class="claim claim-holds" id="made-up" data-layers="4" data-verdict="holds">')
    assert text.endswith("<p>the end</p></div>") and "A is &lt;b&gt;" in text
