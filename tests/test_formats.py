"""Numbers as words: what the reader sees is the number, rounded once, and nothing else."""

import math
import re
import shutil
import subprocess
from decimal import ROUND_HALF_UP, Decimal, localcontext
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import aistack
from aistack.formats import fill, number_text

finite = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("value", "spec", "text"),
    [
        (20000, ".0f", "20,000"),
        (1234567.891, ".2f", "1,234,567.89"),
        (0.5, ".0f", "1"),
        (2.5, ".0f", "3"),
        (-2.5, ".0f", "-3"),
        (-0.4, ".0f", "0"),
        (-0.004, ".2f", "0.00"),
        (-0.0, ".1f", "0.0"),
        (999.5, ".0f", "1,000"),
        (0.8725, ".1%", "87.3%"),
        (12.5, ".0%", "1,250%"),
        (-0.0001, ".1%", "0.0%"),
        (0.0012345, ".3s", "0.00123"),
        (1234.5, ".3s", "1,230"),
        (999.6, ".3s", "1,000"),
        (0.09996, ".3s", "0.100"),
        (-45.678, ".3s", "-45.7"),
        (7, ".1s", "7"),
        (0, ".3s", "0"),
        (2e25, ".3s", "20,000,000,000,000,000,000,000,000"),
        (-2e25, ".1s", "-20,000,000,000,000,000,000,000,000"),
        (1e28, ".2f", "9,999,999,999,999,999,583,119,736,832.00"),
        (0, "no|yes", "no"),
        (1, "no|yes", "yes"),
        (7, "no|yes", "yes"),
        (-1, "no|yes", "no"),
        (1.9, "a|b|c", "b"),
    ],
)
def test_number_text_prints_by_the_spec(value, spec, text):
    assert number_text(value, spec) == text


def test_number_text_default_is_three_digits():
    assert number_text(3.14159) == "3.14"


@pytest.mark.parametrize("spec", [".2f", ".1%", ".3s", "no|yes"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_number_text_not_finite_is_no_value(value, spec):
    assert number_text(value, spec) == "no value"


@pytest.mark.parametrize("spec", ["", "f", ".f", "2f", ".2g", ".2f ", ",.2f", ".-1f", ".0s", ".٣f", "%"])
def test_number_text_unknown_spec_is_refused(spec):
    with pytest.raises(ValueError, match=re.escape(f"format {spec!r} is none of .Nf, .N%, .Ns, word|word")):
        number_text(1.0, spec)


@given(value=finite, digits=st.integers(0, 6))
@example(value=1e300, digits=6)
@example(value=-5e-324, digits=0)
def test_number_text_fixed_is_the_exact_value_rounded_half_up(value, digits):
    with localcontext() as context:
        context.prec = 800
        exact = Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
        text = number_text(value, f".{digits}f")
        assert Decimal(text.replace(",", "")) == exact
    assert re.fullmatch(r"-?\d{1,3}(,\d{3})*" + (rf"\.\d{{{digits}}}" if digits else ""), text)
    assert not (text.startswith("-") and exact == 0)


@given(value=finite.filter(lambda x: x == 0 or abs(x) > 1e-90), digits=st.integers(1, 8))
@example(value=9.9995e-5, digits=4)
def test_number_text_significant_digits_read_back(value, digits):
    text = number_text(value, f".{digits}s")
    shown = Decimal(text.replace(",", ""))
    assert abs(shown - Decimal(value)) <= abs(Decimal(value)) * Decimal(10) ** (1 - digits) / 2
    assert value == 0 or len(re.sub(r"[^\d]", "", text).lstrip("0")) >= digits


@given(value=st.floats(-1e12, 1e12), spec=st.sampled_from([".0f", ".2f", ".1%", ".3s"]))
def test_number_text_sign_mirrors(value, spec):
    plus, minus = number_text(abs(value), spec), number_text(-abs(value), spec)
    assert minus.removeprefix("-") == plus
    assert minus.startswith("-") == bool(re.search("[1-9]", plus))


@given(values=st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=6), spec=st.sampled_from([".0f", ".2f", ".3s"]))
def test_number_text_keeps_the_order(values, spec):
    shown = [float(number_text(v, spec).replace(",", "")) for v in sorted(values)]
    assert shown == sorted(shown)


def test_fill_replaces_numbers_and_texts():
    values = {"usd": 1234.5, "what": "H100", "many": 1}
    assert fill("{what}: ${usd:.0f} ({usd}), {many:no|yes}", values) == "H100: $1,235 (1,230), yes"


def test_fill_leaves_text_without_fields():
    assert fill("50 % of {} and { x } and }{", {}) == "50 % of {} and { x } and }{"


def test_fill_does_not_fill_twice():
    assert fill("{a}", {"a": "{b}", "b": 1.0}) == "{b}"


def test_fill_unknown_name_says_what_is_known():
    with pytest.raises(KeyError, match=r"\{usd\} in 'costs \{usd:.0f\}': no such result or control; known: eur, node"):
        fill("costs {usd:.0f}", {"eur": 1.0, "node": "N5"})


def test_fill_bad_spec_is_refused():
    with pytest.raises(ValueError, match=r"format '\.2g' is none of"):
        fill("{a:.2g}", {"a": 1.0})


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_page_prints_numbers_as_python_does(tmp_path):
    import json
    import random

    chance = random.Random(5)
    cases = [
        (chance.choice([-1, 1]) * chance.random() * 10.0 ** chance.randint(-9, 27), spec)
        for spec in (".0f", ".2f", ".1%", ".3s", ".1s", ".6s", "no|yes|more")
        for _ in range(60)
    ]
    cases += [
        (x, spec)
        for x in (0.5, 1.5, 2.5, -0.5, 0, -0.001, 0.125, 1e21, -2e25, 999.5, 1e-200)
        for spec in (".0f", ".2f", ".3s")
    ]
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    script = Path(aistack.__file__).parent / "book" / "static" / "explore.js"
    (tmp_path / "explore.mjs").write_text(script.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "run.mjs").write_text(
        "globalThis.document = undefined;\n"
        "await import('./explore.mjs'); const { formatNumber } = globalThis.sand;\n"
        "import { readFileSync } from 'node:fs';\n"
        "const cases = JSON.parse(readFileSync('cases.json'));\n"
        "console.log(JSON.stringify(cases.map(([x, spec]) => formatNumber(x, spec))));\n"
    )
    done = subprocess.run(["node", "run.mjs"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert [(x, spec, t) for (x, spec), t in zip(cases, shown, strict=True) if t != number_text(x, spec)] == []
