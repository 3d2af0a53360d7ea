"""Layers against plain NumPy."""

import numpy as np
import pytest

pytestmark = pytest.mark.backend

FROZEN = [[0.11026, 0.962902, 0.293211, -0.837927], [0.022507, 0.196552], [0.005924, -0.007497]]


def hidden(lengths, padded_to, dim=3):
    mask = np.arange(padded_to) < np.array(lengths)[:, None]
    x = np.random.default_rng(0).standard_normal((*mask.shape, dim)).astype("float32")
    return x, mask


def to_numpy(tensor):
    from keras import ops

    return np.asarray(ops.convert_to_numpy(tensor))


@pytest.mark.parametrize("name", ["mean", "max"])
def test_pooling_equals_numpy_over_the_real_tokens(name):
    from kmodels.layers.pooling import MaskedPooling

    x, mask = hidden([1, 4, 2], padded_to=4)
    plain = np.mean if name == "mean" else np.max
    expected = np.stack([plain(row[keep], axis=0) for row, keep in zip(x, mask)])
    np.testing.assert_allclose(to_numpy(MaskedPooling(name)(x, mask)), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["mean", "max"])
def test_pooling_of_no_token_is_zero(name):
    from kmodels.layers.pooling import MaskedPooling

    x, mask = hidden([0, 2], padded_to=2)
    assert (to_numpy(MaskedPooling(name)(x, mask))[0] == 0).all()


def test_reverse_within_length_turns_sentences_and_leaves_padding():
    from kmodels.layers.bidirectional_lstm import reverse_within_length

    x, mask = hidden([3, 1, 0], padded_to=4)
    turned = to_numpy(reverse_within_length(x, mask))
    for row, length in enumerate([3, 1, 0]):
        np.testing.assert_array_equal(turned[row, :length], x[row, :length][::-1])
        np.testing.assert_array_equal(turned[row, length:], x[row, length:])


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_bidirectional_lstm_equals_kerass_own_on_each_sentence_alone(pooling):
    import keras

    from kmodels.layers.bidirectional_lstm import BidirectionalLSTM

    x, mask = hidden([3, 5], padded_to=6)
    layer = BidirectionalLSTM(4, pooling, seed=1)
    together = to_numpy(layer(x, mask))
    for row, length in enumerate([3, 5]):
        alone = x[row : row + 1, :length]
        forward = to_numpy(layer.forward_lstm(alone))[0]
        backward = to_numpy(keras.ops.flip(layer.backward_lstm(alone[:, ::-1].copy()), axis=1))[0]
        if pooling == "last":
            expected = np.concatenate([forward[-1], backward[0]])
        else:
            expected = getattr(np, pooling)(np.concatenate([forward, backward], axis=1), axis=0)
        np.testing.assert_allclose(together[row], expected, atol=1e-5)


@pytest.mark.parametrize("initializer", ["GlorotUniform", "Orthogonal"])
def test_initial_weights_follow_from_seed_and_name(initializer):
    from kmodels.layers import initializers

    kind = getattr(initializers, initializer)
    draw = [to_numpy(kind(seed, name)((3, 6))) for seed, name in ((1, "a"), (1, "a"), (2, "a"), (1, "b"))]
    np.testing.assert_array_equal(draw[0], draw[1])
    assert (draw[0] != draw[2]).any()
    assert (draw[0] != draw[3]).any()


def test_initial_weights_are_these_numbers_on_every_backend():
    from kmodels.layers.initializers import GlorotUniform, TruncatedNormal, Uniform

    drawn = [
        to_numpy(kind(shape))
        for kind, shape in (
            (GlorotUniform(0, "x"), (2, 2)),
            (Uniform(0.25, 0, "x"), (2,)),
            (TruncatedNormal(0.02, 0, "x"), (2,)),
        )
    ]
    for values, frozen in zip(drawn, FROZEN):
        np.testing.assert_allclose(values.ravel(), frozen, atol=1e-6)


def test_orthogonal_rows_are_orthonormal():
    from kmodels.layers.initializers import Orthogonal

    matrix = to_numpy(Orthogonal(3, "x")((4, 16)))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(4), atol=1e-6)


def test_truncated_normal_stays_within_two_deviations():
    from kmodels.layers.initializers import TruncatedNormal

    values = to_numpy(TruncatedNormal(0.02, 0, "x")((100, 100)))
    assert np.abs(values).max() <= 0.04
    assert abs(values.std() - 0.02 * 0.8796) < 3e-4  # a normal cut at two deviations keeps 0.8796 of its own


def test_hidden_tokens_are_some_real_ones_but_never_the_first():
    from kmodels.layers.hidden_tokens import HiddenTokens

    mask = np.arange(50)[None] < np.array([[50], [20], [1]])
    layer = HiddenTokens(0.3, seed=0, name="word_dropout")
    np.testing.assert_array_equal(to_numpy(layer(mask)), mask)
    shown = to_numpy(layer(mask, training=True))
    assert shown[:, 0].all()
    assert not (shown & ~mask).any()
    assert 5 < (mask & ~shown).sum() < 40


def test_states_of_hidden_tokens_are_zero_in_training_only():
    from kmodels.layers.hidden_tokens import ShownStates

    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    shown = np.array([[True, False, True], [True, True, False]])
    layer = ShownStates()
    np.testing.assert_array_equal(to_numpy(layer(x, shown)), x)
    np.testing.assert_array_equal(to_numpy(layer(x, shown, training=True)), x * shown[:, :, None])


@pytest.mark.parametrize(
    ("dim", "rate", "num_dropped"), [(400, 0.25, 100), (300, 0.5, 150), (7, 0.5, 4), (3, 0.9, 2), (3, 0.1, 0)], ids=str
)
def test_each_batch_drops_so_many_elements_of_all_its_words_and_the_others_are_larger(dim, rate, num_dropped):
    from kmodels.layers.word_embedding import WordEmbedding

    layer = WordEmbedding(50, dim, dropout=rate, seed=1)
    ids = np.array([[3, 7, 3, 5], [7, 2, 0, 0]], "int32")
    whole, *batches = (to_numpy(layer(ids, ids > 0, training=step > 0)) for step in range(9))
    np.testing.assert_array_equal(whole, to_numpy(layer(ids, ids > 0)))
    masks = []
    for dropped in batches:
        stays = dropped[ids > 0] != 0
        assert (stays == stays[0]).all() and (~stays[0]).sum() == num_dropped
        np.testing.assert_allclose(
            dropped[:, :, stays[0]], whole[:, :, stays[0]] * dim / (dim - num_dropped), rtol=1e-6
        )
        masks.append(stays[0])
    assert (len({mask.tobytes() for mask in masks}) > 1) == (num_dropped > 0)
    if dim == 300:  # each element as often as any other
        assert 0.2 < np.mean(masks, axis=0).mean() < 0.8 and np.mean(masks, axis=0).std() < 0.25
