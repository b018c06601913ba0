"""StepCache: a step is computed once under its identity, and read afterwards."""

import json

import numpy as np
import pytest

from vaebench.core.steps import StepCache, content_key
from vaebench.deprecated import workers_of


def test_a_step_is_computed_once_and_again_under_another_identity(tmp_path):
    values = iter([1.0, 2.0])
    cache = StepCache(tmp_path)
    assert cache.json("a/b", {"seed": 0}, lambda: {"value": next(values)}) == {"value": 1.0}
    assert StepCache(tmp_path).json("a/b", {"seed": 0}, lambda: {"value": next(values)}) == {"value": 1.0}
    assert cache.json("a/b", {"seed": 1}, lambda: {"value": next(values)}) == {"value": 2.0}
    assert cache.computed == ["a/b", "a/b"]


def test_arrays_are_kept_beside_their_identity_and_computed_again_without_their_file(tmp_path):
    values = iter([np.arange(3), np.arange(4)])
    cache = StepCache(tmp_path)
    for _ in range(2):
        np.testing.assert_array_equal(cache.arrays("x", {}, lambda: {"rows": next(values)})["rows"], np.arange(3))
    (tmp_path / "steps" / "x.npz").unlink()
    np.testing.assert_array_equal(cache.arrays("x", {}, lambda: {"rows": next(values)})["rows"], np.arange(4))


def test_seconds_of_a_kept_step_are_those_of_its_computation(tmp_path, monkeypatch):
    now = [5.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def compute():
        now[0] += 3.0
        return {}

    StepCache(tmp_path).json("slow", {}, compute)
    later = StepCache(tmp_path)
    later.json("slow", {}, compute)
    assert (later.seconds, later.spent, later.computed) == ({"slow": 3.0}, 0.0, [])


def test_a_step_that_fails_leaves_nothing_behind(tmp_path):
    with pytest.raises(ZeroDivisionError):
        StepCache(tmp_path).json("bad", {}, lambda: {"value": 1 // 0})
    assert StepCache(tmp_path).json("bad", {}, lambda: {"value": 7}) == {"value": 7}


def test_a_record_names_identity_machine_and_workers(tmp_path):
    StepCache(tmp_path, workers=2, machine={"processor": "x"}).json("s", {"seed": 3}, lambda: {"v": 1})
    record = json.loads((tmp_path / "steps" / "s.json").read_text())
    assert record["identity"] == {"seed": 3}
    assert record["machine"] == {"processor": "x", "workers": 2}


def test_the_key_of_a_value_ignores_the_order_of_its_fields_and_nothing_else():
    assert content_key({"a": 1, "b": [2, 3]}) == content_key({"b": (2, 3), "a": 1})
    assert content_key({"a": 1}) != content_key({"a": 2})


@pytest.mark.parametrize(("machine", "workers"), [({"workers": 4}, 4), ({"hands": 2}, 2), ({}, 1)])
def test_the_number_of_workers_is_read_from_old_records_too(machine, workers):
    assert workers_of(machine) == workers
