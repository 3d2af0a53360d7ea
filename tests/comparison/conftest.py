"""A comparison of every kind that a report is made of."""

import pytest

from tests.comparison.reports import CASES


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]()
