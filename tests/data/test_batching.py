"""The plan of batches, as arithmetic on integers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmodels.data.batching import (
    FILLER,
    Batches,
    Plan,
    assemble,
    bucket_lengths,
    default_num_buckets,
    plan_epoch,
    real_token_fraction,
)
from kmodels.data.tokenizers import TokenizedTexts

lengths_strategy = st.lists(st.integers(0, 60), min_size=1, max_size=200).map(np.array)


def padded_tokens(lengths, buckets):
    return int(np.asarray(buckets)[np.searchsorted(buckets, lengths)].sum())


@given(lengths_strategy, st.integers(1, 8))
def test_buckets_are_few_and_hold_every_sentence(lengths, num_buckets):
    buckets = bucket_lengths(lengths, num_buckets)
    assert 1 <= len(buckets) <= num_buckets
    assert (np.diff(buckets) > 0).all()
    assert buckets[-1] == max(lengths.max(), 1)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30).map(np.array), st.integers(1, 3))
def test_no_choice_of_buckets_pads_less(lengths, num_buckets):
    from itertools import combinations

    longest = lengths.max()
    others = range(1, longest)
    every_choice = [
        (*choice, longest) for size in range(num_buckets) for choice in combinations(others, min(size, len(others)))
    ]
    least = min(padded_tokens(lengths, sorted(set(choice))) for choice in every_choice)
    assert padded_tokens(lengths, bucket_lengths(lengths, num_buckets)) == least


def test_buckets_are_multiples_where_asked():
    assert (bucket_lengths(np.arange(1, 50), 5, multiple_of=8) % 8 == 0).all()


@given(lengths_strategy, st.integers(1, 17), st.integers(0, 2**31 - 1), st.integers(0, 100))
def test_every_sentence_appears_once_an_epoch_in_a_batch_long_enough(lengths, batch_size, seed, epoch):
    plan = plan_epoch(lengths, bucket_lengths(lengths, 4), batch_size, seed, epoch)
    rows = plan.rows[plan.rows != FILLER]
    assert sorted(rows) == list(range(len(lengths)))
    assert len(plan) == -(-len(lengths) // batch_size)
    for batch, length in zip(plan.rows, plan.lengths):
        assert lengths[batch[batch != FILLER]].max() <= length


@given(lengths_strategy, st.integers(1, 17), st.integers(0, 2**31 - 1))
def test_only_one_batch_holds_fillers(lengths, batch_size, seed):
    plan = plan_epoch(lengths, bucket_lengths(lengths, 4), batch_size, seed)
    assert ((plan.rows == FILLER).any(axis=1)).sum() <= 1


def test_an_epochs_order_is_known_without_the_ones_before_and_differs_from_theirs():
    lengths = np.arange(100) % 10 + 1
    buckets = bucket_lengths(lengths, 3)
    first, second = (plan_epoch(lengths, buckets, 8, seed=5, epoch=epoch) for epoch in (0, 1))
    again = plan_epoch(lengths, buckets, 8, seed=5, epoch=1)
    assert (second.rows == again.rows).all()
    assert (first.rows != second.rows).any()


def test_the_order_of_a_seed_does_not_change_between_versions():
    plan = plan_epoch(np.array([3, 1, 2, 5, 4, 2]), np.array([2, 5]), 2, seed=7, epoch=3)
    assert plan.rows.tolist() == [[0, 3], [2, 4], [5, 1]]
    assert plan.lengths.tolist() == [5, 5, 2]


def test_without_a_seed_sentences_come_in_order_of_their_buckets():
    plan = plan_epoch(np.array([5, 1, 5, 1]), np.array([1, 5]), 2)
    assert plan.rows.tolist() == [[1, 3], [0, 2]]


@given(lengths_strategy, st.sampled_from([1, 2, 4]), st.integers(0, 99))
def test_workers_share_the_plan_without_overlap_and_with_equal_shapes(lengths, world_size, seed):
    plan = plan_epoch(lengths, bucket_lengths(lengths, 3), 8, seed)
    shares = [plan.share(rank, world_size) for rank in range(world_size)]
    assert {share.rows.shape for share in shares} == {(len(plan), 8 // world_size)}
    together = np.concatenate([share.rows.ravel() for share in shares])
    assert sorted(together) == sorted(plan.rows.ravel())


def test_a_world_size_that_does_not_divide_the_batch_is_refused():
    with pytest.raises(ValueError, match="world_size must divide the batch size 8; got 3"):
        Plan(np.zeros((2, 8), int), np.array([4, 4])).share(0, 3)


def test_real_token_fraction_counts_fillers_and_padding():
    plan = plan_epoch(np.array([2, 4, 4]), np.array([4]), 2)
    assert real_token_fraction(plan, np.array([2, 4, 4])) == pytest.approx(10 / 16)


@settings(max_examples=50)
@given(st.lists(st.lists(st.integers(1, 99), max_size=6), min_size=1, max_size=20), st.integers(1, 5))
def test_batches_give_back_each_sentence_its_label_and_nothing_else(sentences, batch_size):
    batches = ragged_batches(sentences, batch_size)
    seen = []
    for inputs, labels, weights in batches.iterate([0]):
        for ids, mask, label, weight in zip(inputs["token_ids"], inputs["padding_mask"], labels, weights):
            assert (ids[~mask] == 0).all()
            assert weight or not mask.any()
            seen += [(tuple(ids[mask]), int(label))] if weight else []
    assert sorted(seen) == sorted((tuple(sentence), number) for number, sentence in enumerate(sentences))


def ragged_batches(sentences, batch_size):
    lengths = [len(sentence) for sentence in sentences]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    tokenized = TokenizedTexts(np.array([token for sentence in sentences for token in sentence], np.int32), offsets)
    buckets = bucket_lengths(np.array(lengths), 3)
    return Batches(tokenized, np.arange(len(sentences)), buckets, batch_size, padding_id=0, seed=1)


def test_assemble_gives_the_types_that_models_take():
    tokenized = TokenizedTexts(np.array([5, 6], np.int32), np.array([0, 2], np.int64))
    inputs, labels, weights = assemble(tokenized, np.array([1]), np.array([0, FILLER]), 3, padding_id=9)
    assert inputs["token_ids"].tolist() == [[5, 6, 9], [9, 9, 9]]
    assert inputs["padding_mask"].tolist() == [[True, True, False], [False] * 3]
    assert (labels.tolist(), weights.tolist()) == ([1, 0], [1.0, 0.0])
    types = [str(array.dtype) for array in (inputs["token_ids"], inputs["padding_mask"], labels, weights)]
    assert types == ["int32", "bool", "int32", "float32"]


def test_small_data_gets_few_shapes_and_large_data_ten():
    assert [default_num_buckets(steps) for steps in (1, 63, 200, 2105)] == [1, 3, 10, 10]
