"""On PyTorch, models over words are fewer operations, and give and learn what they would have."""

import numpy as np
import pytest

pytestmark = pytest.mark.backend


@pytest.fixture(autouse=True)
def torch_only(chosen_backend):
    if chosen_backend != "torch":
        pytest.skip("PyTorch's products")


IDS = np.array([[3, 7, 3, 3, 9, 5, 4], [7, 2, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0]], "int32")
INPUTS = {"token_ids": IDS, "padding_mask": IDS > 0}


def made(prepared, name="textcnn", precision="float32", **sizes):
    import keras

    import kmodels
    from kmodels import backends

    backends.current().configure()
    keras.config.set_dtype_policy(precision)
    try:
        model = kmodels.build(name, vocabulary_size=1500, num_classes=3, seed=1, **{"dropout": 0.0} | sizes)
    finally:
        keras.config.set_dtype_policy("float32")
    if prepared:
        backends.current().prepare(model)
    return model


def outcome(model, inputs=INPUTS):
    """Logits, logits while training, and the weights after a step."""
    import keras

    logits = [keras.ops.convert_to_numpy(model(inputs, training=training)) for training in (False, True)]
    model.compile(keras.optimizers.SGD(1.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.train_on_batch(inputs, np.array([0, 1, 2]), sample_weight=np.array([1.0, 1, 0], "float32"))
    return [*logits, *model.get_weights()]


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("float32", 1e-5), ("mixed_bfloat16", 2e-2)], ids=["float32", "bfloat16"]
)
@pytest.mark.parametrize("word_dropout", [0.0, 0.5])
@pytest.mark.parametrize("name", ["textcnn", "bilstm"])
def test_the_same_is_given_and_learned(name, precision, tolerance, word_dropout):
    expected, got = (outcome(made(prepared, name, precision, word_dropout=word_dropout)) for prepared in (False, True))
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=tolerance * max(1.0, np.abs(theirs).max()))


@pytest.mark.parametrize("kernel_sizes", [(1,), (2, 7), (6, 9)], ids=str)
def test_so_it_is_with_other_widths(kernel_sizes):
    expected, got = (outcome(made(prepared, kernel_sizes=kernel_sizes)) for prepared in (False, True))
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * max(1.0, np.abs(theirs).max()))


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_so_it_is_with_other_poolings(pooling):
    expected, got = (outcome(made(prepared, "bilstm", pooling=pooling)) for prepared in (False, True))
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * max(1.0, np.abs(theirs).max()))


@pytest.mark.parametrize("length", [1, 2])
def test_so_it_is_without_padding(length):
    inputs = {"token_ids": IDS[:, :length] + 1, "padding_mask": np.ones((3, length), bool)}
    expected, got = (outcome(made(prepared, "bilstm"), inputs) for prepared in (False, True))
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * max(1.0, np.abs(theirs).max()))


def test_a_maximum_has_its_gradient_in_equal_parts_where_it_is_and_none_without_words():
    import torch

    from kmodels.backends.torch.bidirectional import _Largest

    states = torch.randint(-3, 3, (2, 7, 5, 4), generator=torch.Generator().manual_seed(1)).float()  # of few values
    is_real = torch.arange(7) < torch.tensor([7, 6, 3, 1, 0])[:, None]
    factor = torch.randn(5, 8)
    for mask in (None, is_real):
        found = []
        for largest in (_Largest.apply, largest_by_torch):
            given = states.clone().requires_grad_()
            values = largest(given, mask)
            (values * factor).sum().backward()
            found.append((values.detach(), given.grad))
        torch.testing.assert_close(found[0], found[1])


def largest_by_torch(states, is_real):
    import torch

    if is_real is not None:
        states = states.masked_fill(~is_real.t()[:, :, None], -torch.inf)
    largest = states.amax(dim=1)
    return largest.where(largest > -torch.inf, 0.0).transpose(0, 1).flatten(1)


WORDS = {0, 2, 3, 4, 5, 7, 9}


def trained_once(model):
    import torch

    from kmodels.backends.torch import graph

    return graph.function_of(model)({name: torch.from_numpy(value) for name, value in INPUTS.items()}, True)


@pytest.fixture(params=["MKL", "oneDNN"])
def num_rows(request, monkeypatch):
    """How many rows a batch of WORDS has, with those for what is hidden."""
    from kmodels.backends.torch import products

    if request.param == "oneDNN" and not hasattr(products.torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this PyTorch has no oneDNN")
    monkeypatch.setattr(products, "_is_onednn_faster", lambda: request.param == "oneDNN")
    monkeypatch.setattr(products, "_FEWEST", 1)
    return 64 if request.param == "oneDNN" else len(WORDS) + 1


def test_a_word_is_multiplied_once_and_padding_stays_zero(monkeypatch, num_rows):
    from kmodels.backends.torch import products

    model, multiplied, of_each = made(prepared=True), [], products.of_each

    def noted(rows, *layers, columns=None):
        multiplied.append(rows)
        return of_each(rows, *layers, columns=columns)

    monkeypatch.setattr(products, "of_each", noted)
    trained_once(model)
    rows, *_ = multiplied
    assert rows.any(dim=1).tolist() == [True] * len(WORDS) + [False] * (num_rows - len(WORDS))


def test_so_it_is_in_both_directions_of_an_lstm_with_dropout_on_the_words(monkeypatch, num_rows):
    from kmodels.backends.torch import bidirectional

    model, multiplied = made(prepared=True, name="bilstm", dropout=0.5), []
    states = bidirectional._States.apply

    def noted(*of_rows_and_more):
        multiplied.extend(of_rows_and_more[:2])
        return states(*of_rows_and_more)

    monkeypatch.setattr(bidirectional._States, "apply", noted)
    trained_once(model)
    units = model.get_layer("lstm").units
    without_bias = [of_rows[:, :units].any(dim=1).tolist() for of_rows in multiplied]  # before anything is learned
    assert without_bias == 2 * [[True] * len(WORDS) + [False] * (num_rows - len(WORDS))]


@pytest.mark.parametrize("num_words", [62, 63, 64, 65])
def test_batches_have_few_numbers_of_rows_and_always_one_for_hidden_words(monkeypatch, num_words):
    import torch

    from kmodels.backends.torch import products

    monkeypatch.setattr(products, "_is_onednn_faster", lambda: True)
    layer = made(prepared=True).get_layer("embedding")
    ids = _tensor(np.arange(1, num_words + 1, dtype="int32")[None])
    rows, places, _ = layer.call(ids, ids > 5).kmodels_rows_at
    assert len(rows) == (64 if num_words < 64 else 128)
    assert not rows[places[0, :5]].any() and (places[0, :5] == num_words).all()
    with torch.no_grad():  # MKL multiplies as many as there are
        assert len(layer.call(ids, ids > 5).kmodels_rows_at[0]) == num_words + 1


def read_by(readers, model):
    """The model with a sum of its words' vectors beside the logits; or these vectors alone, which no layer reads."""
    import keras

    vectors = model.get_layer("embedding").output
    outputs = [*model.outputs, keras.ops.sum(vectors, axis=1)] if readers == "sum" else vectors
    return keras.Model(model.inputs, outputs)


@pytest.mark.parametrize(
    ("name", "precision", "others", "are_whole"),
    [
        ("textcnn", "float32", None, False),
        ("textcnn", "mixed_bfloat16", None, False),
        ("bilstm", "float32", None, False),
        ("bilstm", "mixed_bfloat16", None, True),
        ("bilstm", "float32", "sum", True),
        ("bilstm", "float32", "none", True),
    ],
)
def test_a_step_makes_the_vectors_of_all_tokens_where_somebody_reads_them(name, precision, others, are_whole):
    from kmodels import backends
    from kmodels.backends.torch import tables

    model = made(prepared=not others, name=name, precision=precision)
    if others:
        model = read_by(others, model)
        backends.current().prepare(model)
    layer, given = model.get_layer("embedding"), [*map(_tensor, INPUTS.values())]
    expected = layer.call(*given).detach()
    with tables.by_rows([tables.GradientByRows(layer.embeddings)]):
        vectors = layer.call(*given).detach()
    assert vectors.shape == expected.shape
    assert (vectors == expected).all() if are_whole else vectors.isnan().all()


def test_the_same_elements_of_all_words_are_dropped():
    import torch

    layer = made(prepared=True, name="bilstm", dropout=0.5, word_dropout=0.0).get_layer("embedding")
    whole, dropped = (
        layer.call(*map(_tensor, INPUTS.values()), training=training).detach() for training in (False, True)
    )
    assert [int(each.state[1]) for each in (layer.dropout_generator, layer.seed_generator)] == [1, 0]
    stays = dropped[0, 0] != 0
    assert stays.sum() == layer.embedding_dim // 2
    assert torch.equal(stays, made(prepared=False, name="bilstm", dropout=0.5).get_layer("embedding").kept())
    assert torch.equal(dropped, whole * stays * 2)


def _tensor(value):
    import torch

    return torch.from_numpy(value)
