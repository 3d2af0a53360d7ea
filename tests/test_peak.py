"""How fast the device multiplies matrices, beside which a run's speed is put."""

import numpy as np
import pytest

pytestmark = pytest.mark.backend


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_rate_of_matrix_products_is_measured_in_every_number_format(dtype, monkeypatch):
    from kmodels import peak

    monkeypatch.setattr(peak, "SIZE", 64)
    monkeypatch.setattr(peak, "SECONDS", 0.05)
    rate = peak.matrix_product_rate(dtype)
    assert 1e5 < rate < 1e16
    assert np.isfinite(rate)
