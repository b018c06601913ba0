"""Frozen: copies know their fields, and keys do not depend on names of classes."""

import pytest

from vaebench.core.frozen import stable_key
from vaebench.models.objectives import Elbo, WarmUp


def test_a_copy_with_a_field_that_does_not_exist_is_refused():
    assert Elbo().model_copy(update={"beta": 4.0}).beta == 4.0
    with pytest.raises(ValueError, match="Elbo has no field betta"):
        Elbo().model_copy(update={"betta": 4.0})


def test_the_key_of_a_part_is_its_kind_and_fields():
    renamed = type("Renamed", (Elbo,), {})
    assert stable_key(Elbo(beta=2.0)) == stable_key(renamed(beta=2.0)) == '{"beta": 2.0, "kind": "elbo"}'
    assert stable_key(Elbo()) != stable_key(WarmUp())
