"""Launch plans as Python sees them: they cover their shape, count what must move, and refuse what is no shape."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ras_ext
from ras_ext import compiled, plans
from ras_ext.errors import CompiledLibraryError, InputError

TYPICAL = plans.typical()
LARGEST_BLOCK = 1024
LEAST_SHARED = 99 * 1024  # what a block may have on every architecture of the list (8.6, 8.9 and 12.0 have least)


def other(name: str, value: int) -> int:
    """A size that differs from the given one and is allowed in its place."""
    if name.startswith("has_"):
        return 1 - value
    return {2: 4, 4: 2}[value] if name.endswith("_bytes") else value + 7


@pytest.mark.parametrize("op", sorted(TYPICAL))
def test_a_typical_plan_fits_any_gpu_of_the_list(op):
    got = plans.plan(op, **TYPICAL[op])
    assert got.launches
    for launch in got.launches:
        assert launch.kernel.endswith("_kernel")
        assert all(size >= 1 for size in launch.grid)
        assert launch.grid[0] < 2**31
        assert max(launch.grid[1:]) <= 65535
        assert launch.threads % 32 == 0
        assert 0 < launch.threads <= LARGEST_BLOCK
        assert 0 <= launch.shared_bytes <= LEAST_SHARED
    assert got.bytes > 0
    assert got.flops > 0
    assert got.scratch_bytes >= 0


def test_every_operator_has_a_plan():
    assert set(plans.operators()) == set(TYPICAL)
    assert set(plans.operators()) == set(compiled.OPERATORS)


@pytest.mark.parametrize("op", sorted(TYPICAL))
def test_every_size_counts(op):
    """A size that changed nothing would be one the binding confuses or drops."""
    base = plans.plan(op, **TYPICAL[op])
    for name, value in TYPICAL[op].items():
        changed = plans.plan(op, **TYPICAL[op] | {name: other(name, value)})
        assert changed != base, name


@settings(deadline=None)
@given(batch=st.integers(0, 300), hidden=st.integers(0, 200_000), x=st.sampled_from([2, 4]), p=st.sampled_from([2, 4]))
def test_steer_covers_every_element_once_and_counts_it(batch, hidden, x, p):
    got = plans.plan("steer_", batch=batch, hidden=hidden, x_bytes=x, prototype_bytes=p)
    elements = batch * hidden
    # x is read and written, the prototype read; rows, slot, step and risk are four bytes each.
    assert got.bytes == elements * (2 * x + p) + 16 * batch
    assert got.flops == 4 * elements
    assert got.scratch_bytes == 0
    (launch,) = got.launches
    blocks = launch.grid[0] * launch.grid[1] * launch.grid[2]
    assert (blocks > 0) == (elements > 0)


PEAK = TYPICAL["attention_peak_"]


def test_the_peak_counts_each_named_heads_queries_and_keys_and_each_product():
    got = plans.plan("attention_peak_", **PEAK)
    b, h, t, s, j, d = 8, 8, 64, 640, 576, 128
    # q and k of the eight heads, text_rows as bytes, acc read and written, visual.
    assert got.bytes == 2 * b * h * d * (t + s) + b * t + 12 * b * j
    assert got.flops == 2 * d * b * h * t * (s + j)
    given = plans.plan("attention_peak_", **PEAK | {"has_lse": True})
    assert given.flops == 2 * d * b * h * t * j
    assert given.bytes == 2 * b * h * d * (t + j) + b * t + 4 * b * h * t + 12 * b * j
    # Where the sums are given, the rows are only listed before the peaks.
    assert [launch.kernel for launch in given.launches] == ["gather_rows_kernel", "peak_kernel"]
    assert [launch.kernel for launch in got.launches] == ["partial_lse_kernel", "peak_kernel"]


@settings(deadline=None)
@given(
    rows=st.integers(1, 2000), keys=st.integers(1, 40_000), visual=st.integers(1, 20_000), size=st.sampled_from([2, 4])
)
def test_the_peak_never_writes_the_attention_matrix(rows, keys, visual, size):
    """Its scratch grows with the sides, not with their product: two sums a row and split, at most 64 splits."""
    shape = PEAK | {"rows": rows, "keys": keys, "visual": visual, "element_bytes": size}
    got = plans.plan("attention_peak_", **shape)
    b, h = 8, 8
    assert got.scratch_bytes <= 4 * b * (rows + 1 + h * (2 * 64 * rows + visual))
    if rows * visual > 100_000 and min(rows, visual) > 300:
        assert got.scratch_bytes < 4 * b * h * rows * visual


@settings(deadline=None)
@given(batch=st.integers(1, 64), steps=st.integers(1, 8), vocabulary=st.integers(1, 300_000))
def test_the_score_reads_its_logits_once_for_few_steps_and_twice_for_many(batch, steps, vocabulary):
    got = plans.plan("risk_score", batch=batch, steps=steps, vocabulary=vocabulary, logit_bytes=2)
    once = 2 * batch * steps * vocabulary
    least = once + 4 * vocabulary + 12 * batch
    assert got.bytes >= least
    assert got.bytes in (least, least + once)
    # Nothing as long as the vocabulary is kept between the launches.
    assert got.scratch_bytes <= batch * (vocabulary // 256 + 132 + 1) * 4 * 256


def test_region_risk_reads_the_states_once():
    shape = TYPICAL["region_risk"]
    b, j, d, r = 8, 576, 4096, 16
    got = plans.plan("region_risk", **shape)
    assert got.bytes == 2 * b * j * d + 8 * b * j + 2 * 4 * d + 4 * b * (2 * r + 1)
    bare = plans.plan("region_risk", **shape | {"has_center": False})
    assert got.bytes - bare.bytes == 4 * d


def test_the_norm_counts_the_residual_both_ways_and_needs_none():
    shape = TYPICAL["add_rms_norm_steer_"]
    t, d, b = 8, 4096, 8
    got = plans.plan("add_rms_norm_steer_", **shape)
    assert got.bytes == t * d * (2 + 2 * 2 + 2) + 2 * d + 4 * b * d + 16 * b
    bare = plans.plan("add_rms_norm_steer_", **shape | {"residual_bytes": 0})
    assert got.bytes - bare.bytes == 2 * 2 * t * d
    with pytest.raises(InputError, match=r"^add_rms_norm_steer_: residual_bytes must be 0, 2 or 4, the bytes of one "):
        plans.plan("add_rms_norm_steer_", **shape | {"residual_bytes": 8})


@pytest.mark.parametrize("op", sorted(TYPICAL))
def test_a_size_of_nothing_is_a_plan_too(op):
    """Empty batches are ordinary calls; a plan that divided by a size would end the process."""
    sizes = [name for name in TYPICAL[op] if not name.endswith("_bytes") and not name.startswith("has_")]
    for name in sizes:
        assert plans.plan(op, **TYPICAL[op] | {name: 0}).scratch_bytes >= 0
    nothing = plans.plan(op, **TYPICAL[op] | dict.fromkeys(sizes, 0))
    assert (nothing.bytes, nothing.flops) == (0, 0)


def test_equal_shapes_give_equal_plans_and_unequal_ones_do_not():
    shape = {"batch": 3, "hidden": 4096, "x_bytes": 2, "prototype_bytes": 4}
    assert plans.plan("steer_", **shape) == plans.plan("steer_", **shape)
    assert plans.plan("steer_", **shape) != plans.plan("steer_", **shape | {"hidden": 4097})
    with pytest.raises(AttributeError):
        plans.plan("steer_", **shape).bytes = 0  # type: ignore[misc]


STEER = {"batch": 4, "hidden": 4096, "x_bytes": 2, "prototype_bytes": 4}


@pytest.mark.parametrize(
    ("op", "shape", "sentence"),
    [
        ("steer", STEER, r"^there is a plan for .*steer_.*, got 'steer'$"),
        ("steer_", STEER | {"batch": -1}, r"^steer_: batch must be a size, 0 or more, got -1$"),
        ("steer_", STEER | {"x_bytes": 3}, r"^steer_: x_bytes must be 2 or 4, the bytes of one element, got 3$"),
        (
            "steer_",
            STEER | {"batch": 2**40, "hidden": 2**40},
            r"^steer_: the sizes are too large to be counted, ",
        ),
        ("steer_", STEER | {"batch": 2**80}, r"^the sizes of steer_ must be integers of at most 64 bits, got "),
        ("steer_", STEER | {"batch": 1.5}, r"^the sizes of steer_ must be integers of at most 64 bits, got "),
        ("attention_peak_", PEAK | {"width": 257}, r"^attention_peak_: width must be at most 256, got 257$"),
        ("steer_", {"batch": 4}, r"^the plan of steer_ needs batch, hidden, x_bytes, prototype_bytes, got batch$"),
        ("steer_", {}, r"needs batch, hidden, x_bytes, prototype_bytes, got nothing$"),
    ],
)
def test_what_is_no_shape_is_refused_in_one_sentence(op, shape, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        plans.plan(op, **shape)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("op", sorted(TYPICAL))
def test_a_negative_size_of_any_operator_is_refused(op):
    for name in (name for name in TYPICAL[op] if not name.startswith("has_")):
        with pytest.raises(InputError, match=f"{name} must be "):
            plans.plan(op, **TYPICAL[op] | {name: -2})


def test_the_module_tells_with_what_it_was_built():
    built = plans.build()
    assert built.python.startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert built.pybind11.count(".") == 2
    assert built.compiler


def test_plans_need_neither_torch_nor_a_gpu():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from ras_ext import plans\n"
        "print(plans.plan('steer_', batch=1, hidden=8, x_bytes=4, prototype_bytes=4).bytes)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == f"{8 * 12 + 16}\n", done.stderr


USE = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from ras_ext import compiled, ops, plans
assert plans.__file__.startswith(sys.argv[1])
try:
    plans.plan("steer_", batch=1, hidden=8, x_bytes=4, prototype_bytes=4)
except Exception as error:
    print(type(error).__name__, error)
x = torch.zeros(1, 3)
one = lambda value: torch.tensor([value])
ops.steer_(x, one(0).int(), torch.ones(1, 1, 3), one(0).int(), one(0).int(), one(1.0))
print(x.tolist(), compiled.status().cpu_ops)
"""


@pytest.mark.parametrize("breakage", ["missing", "cut short", "foreign", None])
def test_a_missing_or_broken_module_is_one_sentence_and_leaves_the_operators_alone(tmp_path, breakage):
    source = Path(ras_ext.__file__).parent
    ignore = shutil.ignore_patterns("organism", "__pycache__")
    shutil.copytree(source, tmp_path / "ras_ext", ignore=ignore)
    if not (tmp_path / "ras_ext" / "registry").exists():
        registry = Path(sys.modules["ras_ext.registry.errors"].__file__ or "").parent
        shutil.copytree(registry, tmp_path / "ras_ext" / "registry", ignore=ignore)
    (module,) = (tmp_path / "ras_ext").glob("_plans.*")
    data = module.read_bytes()
    if breakage == "missing":
        module.unlink()
    elif breakage == "cut short":
        module.write_bytes(data[: len(data) // 2])
    elif breakage == "foreign":
        module.write_bytes(b"no library, but long enough to be taken for one" * 10)
    done = subprocess.run(
        [sys.executable, "-c", USE, str(tmp_path)], capture_output=True, text=True, cwd=tmp_path, timeout=120
    )
    assert done.returncode == 0, done.stderr
    *said, last = done.stdout.splitlines()
    assert last == "[[1.0, 1.0, 1.0]] True"
    if breakage is None:
        assert not said
        return
    (sentence,) = said
    assert sentence.startswith("CompiledLibraryError there are no launch plans: ")
    assert {
        "missing": "_plans for this Python is not in",
        "cut short": "is cut short",
        "foreign": "cannot be loaded (",
    }[breakage] in sentence
    assert sentence.endswith("and a C++ compiler")


def test_a_missing_module_is_an_error_of_the_package():
    assert issubclass(CompiledLibraryError, ras_ext.errors.RasExtError)
    assert plans.why_missing() == ""
