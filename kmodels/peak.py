"""What part of the device's speed a run reached: its own matrix products against plain ones."""

import time
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
from keras import ops

from kmodels import backends
from kmodels.layers.first_token import FirstTokenOfLayer

SIZE = 2048
SECONDS = 1.0
LONGEST_SECONDS = 0.01
PRODUCTS = 4


def matrix_product_rate(dtype):
    """The fastest that this device multiplied two square matrices: floating-point operations a second.

    The matrices are twice as large as long as a product of such still takes less than a hundredth of a second: a GPU is
    filled by large ones only.

    Args:
        dtype: of the factors: "float32", "bfloat16" or "float16".
    """
    size, best = SIZE, 0.0
    while best == 0.0 or 2 * size**3 / best < LONGEST_SECONDS:
        best = max(best, _rate_of_size(size, dtype))
        size *= 2
    return best


def _rate_of_size(size, dtype):
    numbers = np.random.default_rng(0).standard_normal((size, size), np.float32) / np.float32(size**0.5)
    factor = ops.cast(ops.convert_to_tensor(numbers), dtype)
    num_streams = backends.current().num_streams()
    best, end = 0.0, time.perf_counter() + SECONDS
    with ThreadPoolExecutor(num_streams) as streams:
        while best == 0.0 or time.perf_counter() < end:
            start = time.perf_counter()
            for _ in streams.map(_multiply, [factor] * num_streams):
                pass
            best = max(best, num_streams * PRODUCTS * 2 * size**3 / (time.perf_counter() - start))
    return best


def _multiply(factor):
    product = factor
    for _ in range(PRODUCTS):
        product = ops.matmul(product, factor)
    # The device has done it only when a number has come back; NumPy takes no bfloat16 from TensorFlow.
    ops.convert_to_numpy(ops.cast(product[0, 0], "float32"))


def operations_per_token(model, mean_length):
    """Floating-point operations that a training step must do for a token: forward, and twice as many backward.

    Each number in a matrix is multiplied and added once a token, so 6 operations; tables that are looked up do none.
    What works on a sentence's first token alone is left out. In each other layer of an encoder every token meets every
    other one of its sentence, twice: 12 × length × hidden_dim.

    Args:
        model: keras.Model.
        mean_length: tokens that a token's sentence has, on average.

    Source: Kaplan et al. 2020, section 2.1 (6 N, attention added).
    """
    of_first_token = {
        id(weight)
        for layer in model.layers
        if isinstance(layer, FirstTokenOfLayer)
        for weight in layer.weights_of_first_token
    }
    matrices = sum(
        int(np.prod(weight.shape))
        for weight in model.weights
        if len(weight.shape) >= 2
        and not any(word in weight.name for word in ("embeddings", "bias"))
        and id(weight) not in of_first_token
    )
    attention = sum(
        12 * mean_length * layer.hidden_dim * layer.num_layers
        for layer in model.layers
        if hasattr(layer, "num_layers") and hasattr(layer, "hidden_dim")
    )
    return 6 * matrices + attention


def figures(model, tokens_per_second, lengths):
    """{name: value}, as in metrics.json: speeds in billions of operations a second, and the part reached.

    Args:
        model: keras.Model.
        tokens_per_second: real tokens trained on; None if that was not measured.
        lengths: int, (num_sentences,); tokens of each training sentence.
    """
    if not tokens_per_second:
        return {}
    mean_length = float((lengths.astype(np.float64) ** 2).sum() / lengths.sum())
    reached = operations_per_token(model, mean_length) * tokens_per_second
    limit = matrix_product_rate(keras.config.dtype_policy().compute_dtype)
    return {"gflops": reached / 1e9, "matrix_product_gflops": limit / 1e9, "fraction_of_peak": reached / limit}
