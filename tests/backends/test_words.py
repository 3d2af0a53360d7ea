"""On PyTorch, convolutions over words are fewer operations, and give and learn what they would have."""

import numpy as np
import pytest

pytestmark = pytest.mark.backend


@pytest.fixture(autouse=True)
def torch_only(chosen_backend):
    if chosen_backend != "torch":
        pytest.skip("PyTorch's products")


IDS = np.array([[3, 7, 3, 3, 9, 5, 4], [7, 2, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0]], "int32")
INPUTS = {"token_ids": IDS, "padding_mask": IDS > 0}


def made(prepared, precision="float32", word_dropout=0.0, kernel_sizes=(2, 3, 4, 5)):
    import keras

    import kmodels
    from kmodels import backends

    backends.current().configure()
    keras.config.set_dtype_policy(precision)
    try:
        model = kmodels.build(
            "textcnn",
            vocabulary_size=1500,
            num_classes=3,
            kernel_sizes=kernel_sizes,
            dropout=0.0,
            word_dropout=word_dropout,
            seed=1,
        )
    finally:
        keras.config.set_dtype_policy("float32")
    if prepared:
        backends.current().prepare(model)
    return model


def outcome(model):
    """Logits, logits while training, and the weights after a step."""
    import keras

    logits = [keras.ops.convert_to_numpy(model(INPUTS, training=training)) for training in (False, True)]
    model.compile(keras.optimizers.SGD(1.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.train_on_batch(INPUTS, np.array([0, 1, 2]), sample_weight=np.array([1.0, 1, 0], "float32"))
    return [*logits, *model.get_weights()]


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("float32", 1e-5), ("mixed_bfloat16", 2e-2)], ids=["float32", "bfloat16"]
)
@pytest.mark.parametrize("word_dropout", [0.0, 0.5])
def test_the_same_is_given_and_learned(precision, tolerance, word_dropout):
    expected, got = (outcome(made(prepared, precision, word_dropout)) for prepared in (False, True))
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=tolerance * max(1.0, np.abs(theirs).max()))


@pytest.mark.parametrize("kernel_sizes", [(1,), (2, 7), (6, 9)], ids=str)
def test_so_it_is_with_other_widths(kernel_sizes):
    expected, got = (outcome(made(prepared, kernel_sizes=kernel_sizes)) for prepared in (False, True))
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * max(1.0, np.abs(theirs).max()))


def test_a_word_is_multiplied_once_and_padding_stays_zero():
    import torch

    from kmodels.backends.torch import graph

    model, multiplied = made(prepared=True), []
    convolutions = model.get_layer("convolutions")
    products = convolutions.products

    def noted(rows):
        multiplied.append(rows)
        return products(rows)

    convolutions.products = noted
    graph.function_of(model)({name: torch.from_numpy(value) for name, value in INPUTS.items()}, True)
    (rows,) = multiplied
    assert len(rows) == len({0, 2, 3, 4, 5, 7, 9}) + 1
    assert not rows[-1].any()
