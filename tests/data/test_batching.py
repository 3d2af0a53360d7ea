"""The plan of batches, as arithmetic on integers."""

from itertools import combinations

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

many = settings(max_examples=300)
lengths_strategy = st.lists(st.integers(0, 60), min_size=1, max_size=200).map(np.array)
# So many that two shuffles of them are never the same by chance.
many_lengths = st.lists(st.integers(0, 60), min_size=80, max_size=120).map(np.array)
num_buckets_strategy = st.integers(1, 8)
batch_sizes = st.integers(1, 17)
shuffling_seeds = st.integers(0, 2**31 - 1)
seeds = st.one_of(st.none(), shuffling_seeds)
epochs = st.integers(0, 100)
sentences_strategy = st.lists(st.lists(st.integers(1, 99), max_size=6), min_size=1, max_size=20)


def padded_tokens(lengths, buckets):
    return int(np.asarray(buckets)[np.searchsorted(buckets, lengths)].sum())


@many
@given(lengths_strategy, num_buckets_strategy)
def test_buckets_are_few_and_hold_every_sentence(lengths, num_buckets):
    buckets = bucket_lengths(lengths, num_buckets)
    assert 1 <= len(buckets) <= num_buckets
    assert (np.diff(buckets) > 0).all()
    assert buckets[-1] == max(lengths.max(), 1)


@settings(max_examples=300)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=30).map(np.array), st.integers(1, 4), st.integers(1, 4))
def test_no_choice_of_buckets_pads_less(lengths, num_buckets, multiple_of):
    longest = -(-max(lengths.max(), 1) // multiple_of) * multiple_of
    others = range(multiple_of, longest, multiple_of)
    every_choice = [
        (*choice, longest) for size in range(num_buckets) for choice in combinations(others, min(size, len(others)))
    ]
    least = min(padded_tokens(lengths, choice) for choice in every_choice)
    buckets = bucket_lengths(lengths, num_buckets, multiple_of)
    assert (buckets % multiple_of == 0).all()
    assert padded_tokens(lengths, buckets) == least


@many
@given(lengths_strategy, num_buckets_strategy, st.lists(st.integers(0, 90), max_size=9), batch_sizes, seeds, epochs)
def test_every_sentence_appears_once_an_epoch_in_the_shortest_bucket_that_holds_its_batch(
    lengths, num_buckets, lengths_of_others, batch_size, seed, epoch
):
    buckets = bucket_lengths(np.array([*lengths, *lengths_of_others]), num_buckets)
    plan = plan_epoch(lengths, buckets, batch_size, seed, epoch)
    assert sorted(plan.rows[plan.rows != FILLER]) == list(range(len(lengths)))
    assert plan.rows.shape == (-(-len(lengths) // batch_size), batch_size)
    for batch, length in zip(plan.rows, plan.lengths):
        assert length == min(bucket for bucket in buckets if bucket >= lengths[batch[batch != FILLER]].max())
    assert len(set(plan.lengths)) <= num_buckets


@many
@given(lengths_strategy, num_buckets_strategy, batch_sizes, seeds, epochs)
def test_fillers_stand_at_the_end_of_one_batch_the_last_of_those_before_the_shuffle(
    lengths, num_buckets, batch_size, seed, epoch
):
    plan = plan_epoch(lengths, bucket_lengths(lengths, num_buckets), batch_size, seed, epoch)
    filled = np.flatnonzero((plan.rows == FILLER).any(axis=1))
    num_fillers = len(plan) * batch_size - len(lengths)
    assert len(filled) == (num_fillers > 0)
    if num_fillers:
        assert (plan.rows[filled[0]] == FILLER).tolist() == [False] * (batch_size - num_fillers) + [True] * num_fillers
        assert seed is not None or filled[0] == len(plan) - 1


@many
@given(many_lengths, num_buckets_strategy, batch_sizes, shuffling_seeds, seeds, epochs, epochs)
def test_an_order_is_that_of_its_seed_and_epoch_alone(
    lengths, num_buckets, batch_size, seed, other_seed, epoch, other_epoch
):
    def order(seed, epoch):
        plan = plan_epoch(lengths, bucket_lengths(lengths, num_buckets), batch_size, seed, epoch)
        return plan.rows.tolist(), plan.lengths.tolist()

    assert order(seed, epoch) == order(seed, epoch)
    assert order(None, epoch) == order(None, other_epoch)
    assert (order(seed, epoch) == order(seed, other_epoch)) == (epoch == other_epoch)
    assert (order(seed, epoch) == order(other_seed, epoch)) == (seed == other_seed)


def test_the_order_of_a_seed_does_not_change_between_versions():
    plan = plan_epoch(np.array([3, 1, 2, 5, 4, 2]), np.array([2, 5]), 2, seed=7, epoch=3)
    assert plan.rows.tolist() == [[0, 3], [2, 4], [5, 1]]
    assert plan.lengths.tolist() == [5, 5, 2]


def test_without_a_seed_sentences_come_in_order_of_their_buckets():
    plan = plan_epoch(np.array([5, 1, 5, 1]), np.array([1, 5]), 2)
    assert plan.rows.tolist() == [[1, 3], [0, 2]]


@many
@given(lengths_strategy, num_buckets_strategy, st.integers(1, 5), st.integers(1, 6), seeds)
def test_workers_share_each_batch_without_overlap_and_with_equal_shapes(
    lengths, num_buckets, rows_each, world_size, seed
):
    plan = plan_epoch(lengths, bucket_lengths(lengths, num_buckets), rows_each * world_size, seed)
    shares = [plan.share(rank, world_size) for rank in range(world_size)]
    assert {share.rows.shape for share in shares} == {(len(plan), rows_each)}
    for share in shares:
        assert share.lengths.tolist() == plan.lengths.tolist()
    together = np.concatenate([share.rows for share in shares], axis=1)
    assert np.sort(together).tolist() == np.sort(plan.rows).tolist()
    fillers = np.array([(share.rows == FILLER).sum(axis=1) for share in shares])
    assert (np.ptp(fillers, axis=0) <= 1).all()


def test_a_world_size_that_does_not_divide_the_batch_is_refused():
    with pytest.raises(ValueError, match="world_size must divide the batch size 8; got 3"):
        Plan(np.zeros((2, 8), int), np.array([4, 4])).share(0, 3)


def test_real_token_fraction_counts_fillers_and_padding():
    plan = plan_epoch(np.array([2, 4, 4]), np.array([4]), 2)
    assert real_token_fraction(plan, np.array([2, 4, 4])) == pytest.approx(10 / 16)


@given(sentences_strategy, batch_sizes, epochs)
def test_batches_give_back_each_sentence_its_label_and_nothing_else(sentences, batch_size, epoch):
    batches = ragged_batches(sentences, batch_size)
    seen = []
    for inputs, labels, weights in batches.iterate(epoch):
        for ids, mask, label, weight in zip(inputs["token_ids"], inputs["padding_mask"], labels, weights):
            assert (ids[~mask] == 0).all()
            assert weight or not mask.any()
            seen += [(tuple(ids[mask]), int(label))] if weight else []
    assert sorted(seen) == sorted((tuple(sentence), number) for number, sentence in enumerate(sentences))


@many
@given(sentences_strategy, batch_sizes, seeds, epochs)
def test_batches_from_any_step_on_are_the_rest_of_the_epoch(sentences, batch_size, seed, epoch):
    batches = ragged_batches(sentences, batch_size, seed)
    whole = [contents(batch) for batch in batches.iterate(epoch)]
    assert len(whole) == batches.num_steps
    for first_step in range(batches.num_steps + 1):
        assert [contents(batch) for batch in batches.iterate(epoch, first_step)] == whole[first_step:]


def contents(batch):
    """A batch's arrays as what can be compared: types, shapes and bytes."""
    inputs, labels, weights = batch
    arrays = (inputs["token_ids"], inputs["padding_mask"], labels, weights)
    return [(str(array.dtype), array.shape, array.tobytes()) for array in arrays]


def ragged_batches(sentences, batch_size, seed=1):
    lengths = [len(sentence) for sentence in sentences]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    tokenized = TokenizedTexts(np.array([token for sentence in sentences for token in sentence], np.int32), offsets)
    buckets = bucket_lengths(np.array(lengths), 3)
    return Batches(tokenized, np.arange(len(sentences)), buckets, batch_size, padding_id=0, seed=seed)


def test_assemble_gives_the_types_that_models_take():
    tokenized = TokenizedTexts(np.array([5, 6], np.int32), np.array([0, 2], np.int64))
    inputs, labels, weights = assemble(tokenized, np.array([1]), np.array([0, FILLER]), 3, padding_id=9)
    assert inputs["token_ids"].tolist() == [[5, 6, 9], [9, 9, 9]]
    assert inputs["padding_mask"].tolist() == [[True, True, False], [False] * 3]
    assert (labels.tolist(), weights.tolist()) == ([1, 0], [1.0, 0.0])
    types = [str(array.dtype) for array in (inputs["token_ids"], inputs["padding_mask"], labels, weights)]
    assert types == ["int32", "bool", "int32", "float32"]


def test_assemble_gives_the_same_of_sentences_that_need_no_padding():
    tokenized = TokenizedTexts(np.array([5, 6, 7, 8, 9, 3], np.uint16), np.array([0, 2, 3, 5, 6], np.int64))
    labels, rows = np.array([1, 0, 2, 0]), np.array([2, 0])
    batch = assemble(tokenized, labels, rows, 2, padding_id=0)
    inputs, found, weights = assemble(tokenized, labels, np.array([2, 0, 1]), 2, padding_id=0)
    assert batch[0]["token_ids"].tolist() == [[8, 9], [5, 6]]
    first = {name: array[:2] for name, array in inputs.items()}
    assert contents(batch) == contents((first, found[:2], weights[:2]))


def test_small_data_gets_few_shapes_and_large_data_ten():
    assert [default_num_buckets(steps) for steps in (1, 63, 200, 2105)] == [1, 3, 10, 12]
    assert default_num_buckets(1, each_is_compiled=False) >= 60  # every length of SST-2
