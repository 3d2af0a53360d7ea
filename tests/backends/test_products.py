"""On PyTorch, products of oneDNN in the place of MKL's, where those leave a part of the processor unused."""

import numpy as np
import pytest

pytestmark = pytest.mark.one_backend


@pytest.fixture(autouse=True)
def torch_only(chosen_backend):
    if chosen_backend != "torch":
        pytest.skip("PyTorch's products")


@pytest.fixture
def by_onednn(monkeypatch):
    """A function that has products computed by oneDNN, or by MKL: what was computed by oneDNN is noted."""
    from kmodels.backends.torch import products

    if not hasattr(products.torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this PyTorch has no oneDNN")
    noted, times, plus = [], products._times, products._plus

    def noting(x, turned, bias=None):
        noted.append((tuple(x.shape), tuple(turned.shape)))
        return times(x, turned, bias)

    def noting_sum(start, x, turned):
        noted.append((tuple(x.shape), tuple(turned.shape)))
        return plus(start, x, turned)

    monkeypatch.setattr(products, "_times", noting)
    monkeypatch.setattr(products, "_plus", noting_sum)

    def choose(whether):
        monkeypatch.setattr(products, "_is_onednn_faster", lambda: whether)
        monkeypatch.setattr(products, "_is_onednn_twice_as_fast", lambda: whether)
        monkeypatch.setattr(products, "_FEWEST", 1)
        noted.clear()
        return noted

    return choose


def numbers(*shape):
    import torch

    return torch.from_numpy(np.random.default_rng(0).normal(size=shape).astype("float32"))


@pytest.mark.parametrize("trained", ["all", "kernel", "x", "none"])
@pytest.mark.parametrize("has_bias", [True, False])
def test_a_product_and_its_gradients_are_those_of_mkl(by_onednn, has_bias, trained):
    from kmodels.backends.torch.products import product

    results = []
    for whether in (False, True):
        noted = by_onednn(whether)
        bias, x, kernel = numbers(7) if has_bias else None, numbers(5, 3), numbers(7, 3).t()
        for name, tensor in (("bias", bias), ("x", x), ("kernel", kernel)):
            if tensor is not None:
                tensor.requires_grad_(trained in ("all", name))
        result = product(bias, x, kernel)
        if trained != "none":
            result[:, :4].sum().backward()  # a gradient that does not lie in memory as the result does
        results.append([result.detach(), *[each.grad for each in (bias, x, kernel) if each is not None]])
        assert len(noted) == whether * (1 + (trained in ("all", "x")) + (trained in ("all", "kernel")))
    for ours, theirs in zip(*results):
        assert (ours is None) == (theirs is None)
        if theirs is not None:
            np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("is_onednn", [True, False])
def test_only_some_rows_of_kernels_are_multiplied_and_the_others_learn_nothing(by_onednn, is_onednn):
    import torch

    from kmodels.backends.torch.products import of_each

    by_onednn(is_onednn)
    x, kernels, bias, columns = numbers(5, 2), [numbers(4, 7), numbers(6, 4).t()], numbers(6), torch.tensor([1, 3])
    learned = [x, *kernels, bias]
    for each in learned:
        each.requires_grad_()
    got = of_each(x, (None, kernels[0]), (bias, kernels[1]), columns=columns)
    (got[0].sum() + 2 * got[1].square().sum()).backward()
    ours = [each.grad for each in learned]
    for each in learned:
        each.grad = None
    expected = [x @ kernels[0][columns], x @ kernels[1][columns] + bias]
    (expected[0].sum() + 2 * expected[1].square().sum()).backward()
    torch.testing.assert_close(got, tuple(expected) if is_onednn else expected)
    torch.testing.assert_close(ours, [each.grad for each in learned])


def test_so_are_several_of_the_same_rows_of_which_each_may_be_frozen(by_onednn):
    from kmodels.backends.torch.products import of_each

    results = []
    for whether in (False, True):
        by_onednn(whether)
        x, kernels, bias = numbers(5, 3), [numbers(3, 7), numbers(7, 3).t(), numbers(3, 4)], numbers(7)
        learned = [x, kernels[1], kernels[2], bias]
        for each in learned:
            each.requires_grad_()
        first, second, third = of_each(x, (None, kernels[0]), (bias, kernels[1]), (None, kernels[2]))
        (first.sum() + 2 * second.sum() + 3 * third.sum()).backward()
        assert kernels[0].grad is None
        results.append([each.detach() for each in (first, second, third)] + [each.grad for each in learned])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("is_twice_as_fast", [False, True])
@pytest.mark.parametrize("out", [2, 3, 4])
def test_the_gradient_of_a_kernel_no_wider_than_high_is_mkls_where_onednn_is_not_twice_as_fast(
    by_onednn, monkeypatch, out, is_twice_as_fast
):
    from kmodels.backends.torch import products

    noted = by_onednn(True)
    monkeypatch.setattr(products, "_is_onednn_twice_as_fast", lambda: is_twice_as_fast)
    x, kernel, gradient = numbers(5, 3).requires_grad_(), numbers(3, out).requires_grad_(), numbers(5, out)
    products.product(None, x, kernel).backward(gradient)
    assert len(noted) == (2 if out <= 3 and not is_twice_as_fast else 3)
    np.testing.assert_allclose(kernel.grad, numbers(5, 3).t() @ gradient, atol=1e-5)
    np.testing.assert_allclose(x.grad, gradient @ numbers(3, out).t(), atol=1e-5)


def test_so_are_those_of_a_recurrence(by_onednn):
    """What each of 4 steps adds to what it is given, and the sigmoid of that, for two kernels."""
    from kmodels.backends.torch.products import Recurrence

    results = []
    for whether in (False, True):
        noted = by_onednn(whether)
        starts, states, kernels = numbers(2, 4, 5, 7), numbers(2, 4, 5, 3), numbers(2, 7, 3).transpose(1, 2)
        recurrence = Recurrence(kernels, 5)
        of_steps = list(zip(recurrence.steps(starts), recurrence.steps(states), strict=True))
        sums = [recurrence.added(*step) for step in of_steps]
        assert (starts == numbers(2, 4, 5, 7)).all()
        for step in of_steps:
            recurrence.squash(*step)
        for number, each in enumerate(sums):
            np.testing.assert_allclose(starts[:, number], each.sigmoid(), atol=1e-6)
            np.testing.assert_allclose(each, numbers(2, 4, 5, 7)[:, number] + states[:, number] @ kernels, atol=1e-5)
        assert len(noted) == whether * 2 * 2 * 4
        results.append(sums)
    assert len(results[1]) == 4


def test_so_are_those_of_several(by_onednn):
    from kmodels.backends.torch.products import batched

    for whether in (False, True):
        noted = by_onednn(whether)
        result = batched(numbers(2, 5, 3), numbers(2, 7, 3).transpose(1, 2))
        assert len(noted) == 2 * whether
        np.testing.assert_allclose(result, numbers(2, 5, 3) @ numbers(2, 7, 3).transpose(1, 2), atol=1e-5)


def test_where_mkl_is_as_fast_it_begins_products_with_several_at_once(by_onednn, monkeypatch):
    from kmodels.backends.torch import products

    noted = by_onednn(True)
    monkeypatch.setattr(products, "_is_onednn_twice_as_fast", lambda: False)
    recurrence = products.Recurrence(numbers(2, 3, 7), 5)
    starts, states = (recurrence.steps(numbers(2, 4, 5, dim)) for dim in (7, 3))
    assert [each.shape for each in starts] == 4 * [(2, 5, 7)]
    recurrence.added(starts[0], states[0])
    recurrence.squash(starts[0], states[0])
    products.batched(numbers(2, 5, 3), numbers(2, 3, 7))
    assert not noted
    products.product(None, numbers(5, 3), numbers(3, 7))
    assert len(noted) == 1


@pytest.mark.parametrize("shape", [(5, 3), (2, 5, 3), (3,), (2, 0, 3)], ids=str)
def test_so_are_those_of_Keras(by_onednn, shape):
    import keras

    from kmodels import backends

    backends.current().configure()
    results = []
    for whether in (False, True):
        noted = by_onednn(whether)
        kernel = keras.Variable(numbers(3, 7))
        results.append(keras.ops.matmul(numbers(*shape), kernel).detach())
        assert bool(noted) == (whether and len(shape) > 1 and 0 not in shape)
    assert results[1].shape == (*shape[:-1], 7)
    np.testing.assert_allclose(*results, atol=1e-5)


def test_the_rate_beside_which_a_run_is_measured_is_that_of_what_it_multiplies_by(by_onednn, monkeypatch):
    from kmodels import backends, peak

    backends.current().configure()
    monkeypatch.setattr(peak, "SECONDS", 0.0)
    noted = by_onednn(True)
    peak._rate_of_size(64, "float32")
    assert noted == [((64, 64), (64, 64))] * peak.PRODUCTS


def test_no_row_and_other_number_formats_are_left_to_pytorch(by_onednn):
    from kmodels.backends.torch.products import product

    noted = by_onednn(True)
    assert product(numbers(4), numbers(0, 3), numbers(3, 4)).shape == (0, 4)
    assert product(None, numbers(2, 3).double(), numbers(3, 4).double()).shape == (2, 4)
    assert product(None, numbers(2, 3).to("meta"), numbers(3, 4).to("meta")).shape == (2, 4)
    assert not noted


def test_few_multiplications_are_left_to_mkl(by_onednn, monkeypatch):
    from kmodels.backends.torch import products

    noted = by_onednn(True)
    monkeypatch.setattr(products, "_FEWEST", 5 * 3 * 4)
    kernel = numbers(3, 4).requires_grad_()
    products.product(None, numbers(5, 3), kernel)
    assert len(noted) == 1
    products.product(None, numbers(4, 3), kernel)
    assert len(noted) == 1
    kernels = numbers(2, 3, 2)
    assert [type(products.Recurrence(kernels, rows).steps(kernels)[0]) for rows in (4, 5)] == [
        products.torch.Tensor,
        tuple,
    ]


def test_what_is_not_to_be_learned_from_is_left_to_mkl(by_onednn):
    import keras
    import torch

    from kmodels.backends.torch.products import product

    noted = by_onednn(True)
    with torch.no_grad():  # prediction meets shapes without end
        product(numbers(4), numbers(2, 3), numbers(3, 4))
        keras.ops.matmul(numbers(2, 3), numbers(3, 4))
    assert not noted


def test_oneDNN_keeps_a_part_of_the_products_that_it_compiled(monkeypatch):
    import os

    from kmodels import backend

    names = "ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"
    for name in names:
        monkeypatch.delenv(name, raising=False)
    backend._set_framework_defaults("torch")
    assert [os.environ[name] for name in names] == ["256", "256"]
    for name in names:
        monkeypatch.setenv(name, "7")
    backend._set_framework_defaults("torch")
    assert [os.environ[name] for name in names] == ["7", "7"]


def test_who_turns_onednn_off_has_mkls(by_onednn):
    import torch

    from kmodels.backends.torch.products import product

    noted = by_onednn(True)
    with torch.backends.mkldnn.flags(enabled=False):
        product(numbers(4), numbers(2, 3), numbers(3, 4))
    assert not noted
    product(numbers(4), numbers(2, 3), numbers(3, 4))
    assert noted


def test_what_is_exported_or_compiled_is_made_of_pytorchs_own_operations(by_onednn):
    import torch

    from kmodels.backends.torch.products import product

    by_onednn(True)
    kernel = numbers(3, 4)

    class Product(torch.nn.Module):
        def forward(self, x):
            return product(None, x, kernel)

    graphs = [
        torch.export.export(Product(), (numbers(2, 3),)).graph,
        torch.jit.trace(Product(), (numbers(2, 3),), check_trace=False).graph,
    ]

    def compiled(module, inputs):
        graphs.append(module.graph)
        return module.forward

    torch.compile(Product(), backend=compiled)(numbers(2, 3))
    assert len(graphs) == 3
    for graph in graphs:
        assert "mm" in str(graph) and "pointwise" not in str(graph) and "_Product" not in str(graph)


MODELS = {
    "textcnn": {"vocabulary_size": 1500},
    "bilstm": {"vocabulary_size": 1500},
    "bert_base_pool": {"vocabulary_size": 200, "preset": "scratch:tiny"},
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_gives_and_learns_the_same_and_all_its_large_products_are_oneDNNs(by_onednn, name):
    import keras

    import kmodels
    from kmodels import backends

    ids = np.random.default_rng(0).integers(1, 200, (6, 9)).astype("int32")
    ids[1:, 5:] = 0
    outcomes = []
    for whether in (False, True):
        noted = by_onednn(whether)
        model = kmodels.build(name, num_classes=2, dropout=0.0, seed=1, **MODELS[name])
        backends.current().prepare(model)
        model.compile(keras.optimizers.SGD(1.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.train_on_batch({"token_ids": ids, "padding_mask": ids > 0}, np.array([0, 1] * 3))
        assert bool(noted) == whether
        outcomes.append([logits(model, ids), *model.get_weights()])
    for ours, theirs in zip(*outcomes, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def logits(model, ids):
    from kmodels import backends

    return backends.current().predict_function(model)(ids, ids > 0)()


@pytest.mark.parametrize(
    ("vendor", "family", "flags", "is_faster", "is_twice_as_fast"),
    [
        ("AuthenticAMD", 26, "fma avx2 avx512f avx512_bf16", True, True),  # Zen 5
        ("AuthenticAMD", 25, "fma avx2 avx512f avx512_bf16", True, False),  # Zen 4
        ("AuthenticAMD", 25, "fma avx2", False, False),  # Zen 3
        ("GenuineIntel", 6, "fma avx2 avx512f amx_bf16", False, False),
        ("GenuineIntel", 207, "fma avx2 avx512f amx_bf16", False, False),
        ("", "", "", False, False),
    ],
)
def test_oneDNN_is_for_amd_processors_with_vectors_of_512_bits(
    monkeypatch, tmp_path, vendor, family, flags, is_faster, is_twice_as_fast
):
    from kmodels.backends import cpu
    from kmodels.backends.torch import products

    path = tmp_path / "cpuinfo"
    lines = ("processor\t: 0", f"vendor_id\t: {vendor}", f"cpu family\t: {family}", "model name\t: Some CPU @ 2 GHz")
    path.write_text("\n".join([*lines, f"flags\t\t: {flags}\n"]))
    monkeypatch.setattr(cpu, "Path", lambda _: path)
    has_onednn = hasattr(products.torch.ops.mkldnn, "_linear_pointwise")
    assert products._is_onednn_faster.__wrapped__() == (is_faster and has_onednn)
    assert products._is_onednn_twice_as_fast.__wrapped__() == is_twice_as_fast
    assert cpu.name() == "Some CPU @ 2 GHz"
    assert cpu.multiplies_bfloat16() == ("bf16" in flags)
