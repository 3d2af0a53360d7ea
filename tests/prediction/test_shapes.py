"""Every sentence in one batch, in few shapes, with little waste."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmodels.data.batching import FILLER
from kmodels.prediction.shapes import AnyShapes, FixedShapes, plan

LENGTHS = st.lists(st.integers(0, 40), max_size=60)
SHAPES = st.builds(
    lambda kind, tokens: kind(tokens, 40),
    st.sampled_from([AnyShapes, FixedShapes]),
    st.integers(1, 300),
)


@given(LENGTHS, SHAPES)
def test_every_sentence_is_in_one_batch_that_holds_it_and_is_no_larger_than_allowed(lengths, shapes):
    batches = list(plan(np.array(lengths, np.int32), shapes))
    rows = np.concatenate([rows[rows != FILLER] for rows, _ in batches]) if batches else np.array([], int)
    assert sorted(rows) == list(range(len(lengths)))
    for rows, length in batches:
        assert all(lengths[row] <= length <= 40 for row in rows if row != FILLER)
        assert len(rows) * length <= max(shapes.batch_tokens, 40)
        assert rows[0] != FILLER


@given(LENGTHS, st.integers(1, 300))
def test_fixed_shapes_are_all_known_beforehand(lengths, tokens):
    shapes = FixedShapes(tokens, 40)
    found = {(len(rows), length) for rows, length in plan(np.array(lengths, np.int32), shapes)}
    assert found <= set(shapes.needed(len(lengths)))


@pytest.mark.parametrize("cores", [1, 2, 4, 8, 64])
@pytest.mark.parametrize("num_sentences", [1, 32, 128, 200])
def test_what_is_needed_is_what_some_number_of_sentences_of_some_length_gets(cores, num_sentences):
    shapes = FixedShapes(512 * cores, 64)
    found = {shapes.of(number, length) for number in range(1, num_sentences + 1) for length in range(65)}
    assert shapes.needed(num_sentences) == sorted(found)


@given(LENGTHS, st.integers(1, 300))
def test_where_shapes_are_free_nothing_is_filled_up(lengths, tokens):
    for rows, length in plan(np.array(lengths, np.int32), AnyShapes(tokens, 40)):
        assert FILLER not in rows
        assert length == max(1, max(lengths[row] for row in rows))


@pytest.mark.parametrize("longest", [1, 2, 3, 16, 17, 60, 128, 512])
def test_fixed_shapes_are_few_and_waste_little(longest):
    shapes = FixedShapes(2048, longest)
    assert len(shapes.needed(2048)) <= 40
    assert shapes.lengths[-1] == longest
    assert (np.diff(shapes.lengths) > 0).all()
    for length in range(9, longest + 1):
        assert min(each for each in shapes.lengths if each >= length) < 1.25 * length


def test_a_sentence_alone_costs_one_row():
    for shapes in (AnyShapes(2048, 128), FixedShapes(2048, 128)):
        [(rows, length)] = plan(np.array([9], np.int32), shapes)
        assert list(rows) == [0]
        assert length <= 16


@pytest.mark.parametrize(("num_sentences", "least_real"), [(1, 0.6), (32, 0.55), (872, 0.85)])
def test_a_server_wastes_little_whether_it_has_one_sentence_or_many(num_sentences, least_real):
    """Lengths as in SST-2's dev set: 25 tokens on the mean, standard deviation 11."""
    generator, shapes = np.random.default_rng(0), FixedShapes(1024, 128)
    real = cells = 0
    for _ in range(100):
        lengths = np.clip(generator.normal(25, 11, num_sentences).round(), 4, 66).astype(np.int32)
        real += lengths.sum()
        cells += sum(len(rows) * length for rows, length in plan(lengths, shapes))
    assert real / cells > least_real
