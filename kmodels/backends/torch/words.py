"""TextCNN's convolutions on a CPU with fewer operations, forward and backward.

What they multiply a word's vector with is multiplied once however often a batch has the word: of the tokens in 64 of
SST-2's sentences 56 % are different words. And a maximum over time has a gradient in one of its windows only: it goes
straight to the products that this window is the sum of.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
import torch
from keras import ops
from torch.nn import functional

from kmodels.backends.torch import bidirectional, products, tables
from kmodels.backends.torch.dropout import uniform
from kmodels.layers.bidirectional_lstm import BidirectionalLSTM
from kmodels.layers.convolutions import ConvolutionMaxima
from kmodels.layers.word_embedding import WordEmbedding

# Layers that take the rows, and in which number formats.
_READERS = {ConvolutionMaxima: ("float32", "bfloat16", "float16"), BidirectionalLSTM: ("float32",)}


def prepare(model):
    """Has a model's convolutions over words, on a CPU, be computed so.

    Args:
        model: keras.Model.
    """
    for layer in model._flatten_layers():
        kind = type(layer)
        if kind is WordEmbedding:
            layer.call = functools.partial(_vectors, layer, layer.call, _are_rows_enough(model, layer))
        elif kind is ConvolutionMaxima:
            layer.call = functools.partial(_maxima, layer, layer.call, _Windows(layer))
        elif kind is BidirectionalLSTM:
            bidirectional.prepare(layer)


class RowsAt(NamedTuple):
    """Of which rows a batch's vectors are made: `kmodels_rows_at` of what WordEmbedding gives.

    Attributes:
        rows: float, (number of rows, dim); the last ones are 0.
        places: int64, (batch, length): the row of each token.
        columns: int64, (dim,): which of a vector's elements the rows have, all others are 0; None for all.
    """

    rows: Any = None
    places: Any = None
    columns: Any = None


def _vectors(layer, keras_call, are_rows_enough, token_ids, padding_mask, training=False):
    """WordEmbedding.call; what it gives knows of which rows it is made, and in a step is no more if that will do."""
    if token_ids.device.type != "cpu":
        return keras_call(token_ids, padding_mask, training=training)
    words, numbers = tables.distinct(token_ids.reshape(-1).long(), layer.vocabulary_size)
    kept = _kept(layer) if training and layer.num_dropped else None
    num_rows, factor = products.rounded(len(words) + 1), 1.0 if kept is None else layer.factor
    rows = tables.take_different(layer.embeddings, words, num_rows, kept, factor)
    shown = _shown(layer, padding_mask, training)
    places = numbers.reshape(token_ids.shape).masked_fill(torch.logical_not(shown), len(words))
    if are_rows_enough and token_ids.shape[1] and tables.is_found_by_rows(layer.embeddings):
        vectors = rows.new_full((), torch.nan).expand(*places.shape, layer.embedding_dim)
    else:
        whole = rows if kept is None else rows.new_zeros(num_rows, layer.embedding_dim).index_copy(1, kept, rows)
        vectors = functional.embedding(places, whole, padding_idx=len(words))  # that row is 0 and needs no gradient
    vectors.kmodels_rows_at = RowsAt(rows, places, kept)  # type: ignore[attr-defined]
    return vectors


def _kept(layer):
    """WordEmbedding.kept, by the same random numbers: int64, (number,), in order."""
    draw = uniform((layer.embedding_dim,), seed=layer.dropout_generator)
    return torch.from_numpy(np.sort(np.argsort(draw.numpy(), kind="stable")[layer.num_dropped :]))


def _are_rows_enough(model, layer):
    """Whether nobody in a model but layers that take its rows reads what a WordEmbedding gives."""
    dtype, given = layer.compute_dtype, [id(tensor) for node in layer._inbound_nodes for tensor in node.outputs]
    readers = [node.operation for node in layer._outbound_nodes]
    are_known = all(dtype in _READERS.get(type(each), ()) and dtype == each.compute_dtype for each in readers)
    return are_known and not any(id(tensor) in given for tensor in model.outputs)


def _shown(layer, padding_mask, training):
    """WordEmbedding.shown, by the same random numbers."""
    if not training or not layer.word_dropout:
        return padding_mask
    draw = uniform(padding_mask.shape, seed=layer.seed_generator)  # (batch, length)
    return torch.ge(draw, layer.word_dropout).logical_and_(padding_mask)


def _maxima(layer, keras_call, windows, x, padding_mask):
    """ConvolutionMaxima.call."""
    rows, places, columns = getattr(x, "kmodels_rows_at", RowsAt())
    if rows is None:
        return keras_call(x, padding_mask)
    kernel = ops.convert_to_tensor(layer.kernel)
    (of_rows,) = products.of_each(rows, (None, kernel.reshape(len(kernel), -1)), columns=columns)
    maxima = _Maxima.apply(of_rows, places, padding_mask, windows)
    return functional.relu(maxima + ops.convert_to_tensor(layer.bias))


class _Windows:
    """Of what the windows of a layer's filters are the sum.

    Args:
        layer: ConvolutionMaxima.

    Attributes:
        pieces: [(how far a word stands from the middle, the first output that it is in, the columns of its products)].
        of_middle: the columns of the words in the middle, one for each output.
        before, after: how far words of a window stand from its middle at most.
        start_of: int64, (num_columns,); how far after a window's start, as the widest has it, a column's word stands.
    """

    def __init__(self, layer):
        num_outputs, end = layer.bias.shape[0], 0
        self.before, self.after = -min(layer.shifts), max(layer.shifts)
        self.pieces, starts = [], []
        for shift, widths in layer.shifts.items():
            size = len(widths) * layer.num_filters
            self.pieces.append((shift, num_outputs - size, slice(end, end + size)))
            starts += [shift + self.before] * size
            end += size
        self.of_middle = next(columns for shift, _, columns in self.pieces if shift == 0)
        self.start_of = torch.tensor(starts)

    def of_columns(self, of_outputs):
        """What each column's output has: (batch, num_outputs) → (batch, num_columns)."""
        return torch.cat([of_outputs[:, first:] for _, first, _ in self.pieces], dim=1)


class _Maxima(torch.autograd.Function):
    """Each filter's largest window over the real tokens, (batch, num_outputs), -inf where there are none."""

    @staticmethod
    def forward(ctx, of_rows, places, padding_mask, windows):
        """
        Args:
            of_rows: float, (number of rows, num_places * num_filters); the last row is that of a word not shown.
            places: int64, (batch, length): the row of each token.
            padding_mask: bool, (batch, length).
            windows: _Windows.
        """
        found = of_rows.index_select(0, places.reshape(-1)).view(*places.shape, -1)
        sums = found[:, :, windows.of_middle]
        for shift, first, columns in windows.pieces:
            if shift > 0:
                sums[:, :-shift, first:] += found[:, shift:, columns]
            elif shift < 0:
                sums[:, -shift:, first:] += found[:, :shift, columns]
        if not padding_mask.numpy().all():
            sums.masked_fill_(torch.logical_not(padding_mask)[:, :, None], -torch.inf)
        maxima, at = sums.max(dim=1)
        ctx.save_for_backward(places, at)
        ctx.windows, ctx.shape = windows, of_rows.shape
        return maxima

    @staticmethod
    def backward(ctx, gradient):
        places, at = ctx.saved_tensors
        windows, (num_rows, num_columns) = ctx.windows, ctx.shape
        # Beyond a sentence stands what a hidden word has, a row of zeros without a gradient.
        beside = functional.pad(places, (windows.before, windows.after), value=num_rows - 1)
        rows = beside.gather(1, windows.of_columns(at) + windows.start_of)
        flat = rows * num_columns + torch.arange(num_columns)
        found = gradient.new_zeros(num_rows * num_columns)
        found.index_add_(0, flat.view(-1), windows.of_columns(gradient).view(-1))
        return found.view(num_rows, num_columns), None, None, None
