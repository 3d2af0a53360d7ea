"""Several workers on JAX: each computes its part of a batch, and what they exchange are gradients."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.backends import parts

pytestmark = pytest.mark.backend


@pytest.fixture(scope="module")
def outcomes(chosen_backend):
    """{name: what `parts` prints of it}."""
    if chosen_backend != "jax":
        pytest.skip("one program for all workers: of JAX")
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=2"
    variables = {"KERAS_BACKEND": "jax", "XLA_FLAGS": flags}
    done = subprocess.run(
        [sys.executable, "-m", "tests.backends.parts"],
        cwd=Path(__file__).parent.parent.parent,
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["name"]: line for line in lines}


@pytest.mark.parametrize("name", parts.SIZES)
def test_two_give_the_weights_and_figures_of_one(name, outcomes):
    one, two = outcomes[name]["one"], outcomes[name]["two"]
    assert one.keys() == two.keys()
    for what, value in one.items():
        np.testing.assert_allclose(two[what], value, rtol=1e-4, atol=1e-5, err_msg=what)


@pytest.mark.parametrize("name", parts.SIZES)
def test_they_exchange_gradients_and_of_tables_what_was_looked_up(name, outcomes):
    found = outcomes[name]
    assert found["tables"] == 1
    assert found["sent"] == found["gradients"] + found["vectors"] + found["rows"] + 4  # and the loss


@pytest.mark.parametrize("name", parts.SIZES)
def test_they_exchange_few_arrays(name, outcomes):
    """Vectors' gradients, their places, all others with the loss, the figures' rows; of BERT, those of two segments."""
    assert outcomes[name]["messages"] == (5 if name == "bert_base_pool" else 4)


def test_each_drops_by_itself(outcomes):
    for logits in (outcomes["dropout"]["one"], outcomes["dropout"]["two"]):
        assert len(np.unique(np.round(logits, 5), axis=0)) == parts.BATCH
