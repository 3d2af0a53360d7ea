"""Gradients of tables by rows are what PyTorch finds, step after step."""

import numpy as np
import pytest

pytestmark = pytest.mark.backend


@pytest.fixture(autouse=True)
def torch_only(chosen_backend):
    if chosen_backend != "torch":
        pytest.skip("PyTorch's gradients")
    from kmodels import backends

    backends.current().configure()


@pytest.fixture
def table():
    import keras

    from kmodels.backends.torch import tables

    layer = keras.layers.Embedding(2000, 5, name="words")
    layer.build()
    assert tables.tables_of(layer.trainable_weights) == [layer.embeddings]
    return layer.embeddings


def gradient_of(table, loss_of, gradients=()):
    """The table's gradient as a step finds it."""
    from kmodels.backends.torch import tables

    table.value.grad = None
    with tables.by_rows(gradients):
        loss_of().backward()
    return table.value.grad


@pytest.mark.parametrize("shape", [(4, 7), (3,), (0,)])
def test_it_is_the_whole_gradient_bit_for_bit_in_every_step(table, shape):
    import torch
    from keras import ops

    from kmodels.backends.torch.tables import GradientByRows, rows_of

    numbers, gradient = torch.Generator().manual_seed(1), GradientByRows(table)
    for _ in range(3):
        places = torch.randint(0, 2000, shape, generator=numbers)
        if places.numel() > 1:
            places.view(-1)[-1] = places.view(-1)[0]  # a word that comes twice
        factor = torch.randn(*shape, 5, generator=numbers)

        def loss(places=places, factor=factor):
            return (ops.take(table, places, axis=0) * factor).sum()

        got, expected = gradient_of(table, loss, [gradient]).clone(), gradient_of(table, loss)
        assert torch.equal(got, expected)
        assert rows_of(gradient._kept)[0].tolist() == sorted(set(places.view(-1).tolist()))


@pytest.mark.parametrize("columns", [None, (0, 2, 3)], ids=["all columns", "some columns"])
@pytest.mark.parametrize("num_rows", [None, 5])
def test_different_rows_are_not_added_up_first_and_filled_up(table, num_rows, columns):
    import torch

    from kmodels.backends.torch.tables import GradientByRows, take_different

    rows, factor = torch.tensor([3, 8, 1999]), torch.randn(num_rows or 3, 5)
    gradient = GradientByRows(table)
    scaled = torch.ones(5)
    if columns:
        columns, scaled = torch.tensor(columns), 1.25 * torch.zeros(5).index_fill(0, torch.tensor(columns), 1.0)

    def loss():
        taken = take_different(table, rows, num_rows, columns, 1.25)
        expected = table.value.detach()[rows] * scaled
        assert torch.equal(taken[:3], expected if columns is None else expected[:, columns])
        assert not taken[3:].any()
        return (taken * factor[:, : taken.shape[1]]).sum()

    for _ in range(2):
        got, expected = gradient_of(table, loss, [gradient]).clone(), gradient_of(table, loss)
        assert torch.equal(got, expected)
    assert gradient._kept.kmodels_rows[0].tolist() == rows.tolist()


def test_what_is_looked_up_twice_is_added(table):
    import torch
    from keras import ops

    from kmodels.backends.torch.tables import GradientByRows, rows_of

    def loss():
        first, second = (ops.take(table, torch.tensor(places), axis=0) for places in ([1, 2], [2, 3]))
        return (first * first).sum() + second.sum()

    found = gradient_of(table, loss, [GradientByRows(table)])
    assert rows_of(found) is None  # no longer those of one look
    torch.testing.assert_close(found, gradient_of(table, loss))


@pytest.mark.parametrize("other_first", [True, False])
def test_what_a_table_is_used_for_beside_is_added_to_all_rows(table, other_first):
    import torch
    from keras import ops

    from kmodels.backends.torch.tables import GradientByRows, rows_of

    def loss():
        def other():
            return (table.value**2).sum()

        def looked_up():
            return ops.take(table, torch.tensor([1, 2]), axis=0).sum()

        return other() + looked_up() if other_first else looked_up() + other()

    gradient, expected = GradientByRows(table), gradient_of(table, loss)
    for _ in range(2):
        found = gradient_of(table, loss, [gradient])
        assert rows_of(found) is None
        torch.testing.assert_close(found, expected)


def test_in_bfloat16_the_vectors_are_rounded_and_their_gradients_added_in_float32(table):
    import keras
    import torch
    from keras import ops
    from keras.src.backend.common.variables import AutocastScope

    from kmodels.backends.torch.tables import GradientByRows

    places = torch.zeros(1000, dtype=torch.int64)

    def loss():
        with AutocastScope("bfloat16"):
            vectors = ops.take(table, places, axis=0)
        assert keras.backend.standardize_dtype(vectors.dtype) == "bfloat16"
        return vectors.float().sum()

    assert np.all(gradient_of(table, loss, [GradientByRows(table)])[0].numpy() == 1000)


def test_the_norm_of_a_gradient_is_that_of_its_rows(table):
    """The update is by the whole gradient's norm, and the next step's gradient has nothing of this one's."""
    import keras
    import torch
    from keras import ops

    from kmodels.backends.torch.optimizer import optimizer_class
    from kmodels.backends.torch.tables import GradientByRows

    weights = []
    for gradients in ([], [GradientByRows(table)]):
        table.assign(np.ones(table.shape))
        optimizer = optimizer_class(keras.optimizers.AdamW)(0.1, global_clipnorm=0.5)
        optimizer.build([table])
        for places in ([1, 2, 2], [3]):

            def loss(places=places):
                return (ops.take(table, torch.tensor(places), axis=0) ** 2).sum()

            found = gradient_of(table, loss, gradients)
            with torch.no_grad():
                optimizer.apply([found], [table])
        weights.append(table.numpy())
    np.testing.assert_allclose(weights[1], weights[0], rtol=1e-6)
