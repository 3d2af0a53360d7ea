"""What PyTorch needs to trace our models for every batch size and length."""

import functools

import torch

from kmodels.layers.bidirectional_lstm import BidirectionalLSTM


class TokensToLogits(torch.nn.Module):
    """A keras.Model as a module with two inputs, named as the model's."""

    def __init__(self, model):
        super().__init__()
        self.call = model.__call__  # not the model: a trace would keep its parameters beside the weights that it uses

    def forward(self, token_ids, padding_mask):
        return self.call({"token_ids": token_ids, "padding_mask": padding_mask}, training=False)


def example_inputs():
    """Inputs to trace with: {"token_ids": int32, (3, 5); "padding_mask": bool, (3, 5)}; a 1 would stay a 1."""
    return {"token_ids": torch.ones((3, 5), dtype=torch.int32), "padding_mask": torch.ones((3, 5), dtype=torch.bool)}


def trace_any_shape(model, lstm):
    """Makes a model traceable, for the rest of the process.

    Keras's LSTM on PyTorch is a loop in Python, of which a trace keeps as many steps as the example has.

    Args:
        model: keras.Model.
        lstm: function of a keras.layers.LSTM, which gives a function to compute it:
            float, (batch, length, dim) → float, (batch, length, units).
    """
    torch.take_along_dim = _take_along_dim  # type: ignore[assignment]
    for layer in model.layers:
        if isinstance(layer, BidirectionalLSTM):
            for direction in (layer.forward_lstm, layer.backward_lstm):
                direction.call = functools.partial(_call, lstm(direction))


def _call(compute, x, **_):
    """An LSTM's call; what Keras says of training and of a mask makes no difference here."""
    return compute(x)


def _take_along_dim(x, indices, dim):
    """torch.take_along_dim of (batch, length, dim) and (batch, any, 1). PyTorch's own has a trace keep the shapes."""
    return torch.gather(x, dim, indices.expand(-1, -1, x.shape[2]))
