"""What stands between Keras and JAX."""

import numpy as np
import pytest

pytestmark = pytest.mark.backend


@pytest.fixture(autouse=True)
def jax_only(chosen_backend):
    if chosen_backend != "jax":
        pytest.skip("of JAX")


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_cudnn_is_handed_no_bfloat16(dtype, monkeypatch):
    """jaxlib 0.11.2 fails on a GPU otherwise: Unknown output type bfloat16. Here a plain loop stands in for cuDNN."""
    import keras
    from jax import numpy as jnp

    from kmodels import backends
    from kmodels.backends.jax import recurrent

    backends.current().configure()
    handed = []

    def cudnn(inputs, h, c, mask, kernel, recurrent_kernel, bias, **settings):
        assert mask is None
        arrays = [jnp.asarray(array) for array in (inputs, h, c, kernel, recurrent_kernel, bias)]
        handed.extend(array.dtype for array in arrays)
        x, h, c, kernel, recurrent_kernel, bias = arrays
        outputs = []
        for step in range(x.shape[1]):
            i, f, g, o = jnp.split(x[:, step] @ kernel + h @ recurrent_kernel + bias, 4, axis=-1)
            c = keras.ops.sigmoid(f) * c + keras.ops.sigmoid(i) * jnp.tanh(g)
            h = keras.ops.sigmoid(o) * jnp.tanh(c)
            outputs.append(h)
        return h, jnp.stack(outputs, axis=1), [h, c]

    x = np.random.default_rng(0).standard_normal((3, 5, 4)).astype("float32")
    layer = keras.layers.LSTM(6, return_sequences=True, dtype=dtype)
    expected = layer(x)
    monkeypatch.setattr(recurrent, "_keras_lstm", cudnn)
    got = layer(x)
    assert {str(each) for each in handed} == {"float32"}
    assert got.dtype == expected.dtype
    tolerance = 1e-5 if dtype == "float32" else 2e-2
    np.testing.assert_allclose(np.asarray(got, "float32"), np.asarray(expected, "float32"), atol=tolerance)


@pytest.mark.parametrize("largest", [1e-3, 10.0, np.inf, np.nan])
def test_gradients_are_clipped_as_by_keras(largest):
    import keras

    from kmodels.backends import jax as on_jax

    grads = [np.full((3, 2), largest, "float32"), None, np.ones(4, "float32")]
    expected, got = (
        kind(1e-3, global_clipnorm=1.0)._clip_gradients(grads)
        for kind in (keras.optimizers.Adam, on_jax.optimizer_class(keras.optimizers.Adam))
    )
    assert got[1] is None
    for each, its in zip(got[::2], expected[::2]):
        np.testing.assert_allclose(each, its, rtol=1e-6)


@pytest.mark.parametrize("change", ["nothing", "frozen", "lora"])
def test_a_table_of_vectors_is_one_that_is_trained_and_only_looked_up(change):
    import keras

    from kmodels.backends.jax import tables

    layer = keras.layers.Embedding(50, 4)
    model = keras.Sequential([keras.Input((3,), dtype="int32"), layer, keras.layers.Dense(2)])
    if change == "frozen":
        layer.trainable = False
    if change == "lora":
        layer.enable_lora(2)
    found = tables.tables_of(model)
    assert [table.path for table in found] == ([layer.embeddings.path] if change == "nothing" else [])


def test_the_update_is_traced_once_for_batches_of_any_length(monkeypatch):
    import keras

    from kmodels import backends

    optimizer = backends.current().optimizer_class(keras.optimizers.AdamW)(0.1)
    applied = []
    kind = type(optimizer).__mro__[1]
    monkeypatch.setattr(
        kind, "apply", lambda *given, own=kind.apply, **more: applied.append(given) or own(*given, **more)
    )
    inputs = keras.Input((None, 2))
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.GlobalAveragePooling1D()(inputs)))
    model.compile(optimizer, "mse")
    for length in (3, 4, 5):
        model.train_on_batch(np.ones((2, length, 2), "float32"), np.zeros((2, 1), "float32"))
    assert len(applied) == 1 and int(optimizer.iterations) == 3


def test_a_compiled_program_is_kept_whole_or_not_at_all(tmp_path, monkeypatch):
    import os

    from jax._src.lru_cache import LRUCache

    from kmodels import backends

    backends.current().configure()
    cache = LRUCache(str(tmp_path), max_size=-1)

    def stopped(*paths):
        assert cache.get("program") is None
        raise KeyboardInterrupt

    with monkeypatch.context() as while_it_is_kept, pytest.raises(KeyboardInterrupt):
        while_it_is_kept.setattr(os, "replace", stopped)
        cache.put("program", b"compiled")
    assert cache.get("program") is None
    cache.put("program", b"compiled")
    assert cache.get("program") == b"compiled"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_compiled_program_larger_than_the_user_lets_it_be_is_not_kept(tmp_path):
    from jax._src.lru_cache import LRUCache

    from kmodels import backends

    backends.current().configure()
    cache = LRUCache(str(tmp_path), max_size=4)
    with pytest.warns(UserWarning, match="exceeds"):
        cache.put("program", b"compiled")
    assert cache.get("program") is None
