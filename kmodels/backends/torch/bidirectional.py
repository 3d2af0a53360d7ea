"""An LSTM in both directions over words, on a CPU, with fewer operations than two.

What it multiplies a word's vector with is multiplied once however often a batch has the word (`words`), one product has
the next step of both directions, and what the gates' gradients have in common is found for all steps at once. A tanh is
found as 2 sigmoid(2x) - 1, for PyTorch's own takes four times as long: the error is 1e-7.
"""

import functools

import torch
from keras import ops

from kmodels.backends.torch import products
from kmodels.layers.bidirectional_lstm import places_reversed

_aten = torch.ops.aten


def call(layer, keras_call, x, padding_mask):
    """BidirectionalLSTM.call.

    Args:
        layer: BidirectionalLSTM.
        keras_call: its `call`, for what is not computed here.
        x: torch.Tensor, float, (batch, length, dim); as `words` gives it where it is of few different rows.
        padding_mask: torch.Tensor, bool, (batch, length).
    """
    rows, places = getattr(x, "kmodels_rows_at", (None, None))
    if rows is None or places is None or rows.dtype != torch.float32 or x.shape[1] == 0:
        return keras_call(x, padding_mask)
    cells = [lstm.cell for lstm in (layer.forward_lstm, layer.backward_lstm)]
    kernels, recurrent, biases = (
        [ops.convert_to_tensor(getattr(cell, name)) for cell in cells]
        for name in ("kernel", "recurrent_kernel", "bias")
    )
    both = torch.stack([places, places.gather(1, places_reversed(padding_mask).long())])  # (2, batch, length)
    of_rows = products.product(torch.cat(biases), rows, torch.cat(kernels, dim=1)).view(2 * len(rows), -1)
    states = _States.apply(of_rows, both, torch.stack(recurrent))  # (2, length, batch, units)
    forward, backward = states.transpose(1, 2).unbind()  # (batch, length, units)
    return layer.pooled(forward, backward, padding_mask)


class _States(torch.autograd.Function):
    """The states of both directions after each word, (2, length, batch, units)."""

    @staticmethod
    def forward(ctx, of_rows, places, recurrent):
        """
        Args:
            of_rows: float32, (2 * number of rows, 4 * units): each row's, with bias, for forward and backward.
            places: int64, (2, batch, length): the row of each word in the order of its direction.
            recurrent: float32, (2, units, 4 * units).
        """
        _, batch, length = places.shape
        units = recurrent.shape[1]
        at = (2 * places.transpose(1, 2) + torch.arange(2)[:, None, None]).reshape(-1)
        gates = of_rows.index_select(0, at).view(2, length, batch, 4, units)
        found = [of_rows.new_empty(2, length, batch, units) for _ in range(3)]  # states, cells, squashed cells
        _read(gates, recurrent, *found)
        ctx.save_for_backward(at, gates, recurrent, *found)
        ctx.num_rows = len(of_rows)
        return found[0]

    @staticmethod
    def backward(ctx, of_states):
        at, gates, recurrent, states, cells, squashed = ctx.saved_tensors
        of_gates, of_cells = _derivatives(gates, cells, squashed)
        _go_back(of_gates, of_cells, gates, of_states, recurrent.transpose(1, 2))
        of_gates = of_gates.flatten(3)  # (2, length, batch, 4 * units)
        before = states[:, :-1].flatten(1, 2).transpose(1, 2)  # (2, units, (length - 1) * batch)
        of_recurrent = products.batched(before, of_gates[:, 1:].flatten(1, 2))
        of_rows = _aten.embedding_dense_backward(of_gates.view(len(at), -1), at, ctx.num_rows, -1, False)
        return of_rows, None, of_recurrent


def _read(gates, recurrent, states, cells, squashed):
    """Fills in what each word makes of the state before, and the gates it does so by.

    Args:
        gates: (2, length, batch, 4, units): of the words alone; becomes what lets in, what is kept, what is new, what
            is shown.
        recurrent: (2, units, 4 * units).
        states, cells, squashed: (2, length, batch, units); the last are the tanh of cells.
    """
    gates[:, :, :, 2].mul_(2)
    recurrent = recurrent.unflatten(2, (4, -1)) * recurrent.new_tensor([1.0, 1.0, 2.0, 1.0])[:, None]
    recurrent, less_one = recurrent.flatten(2), recurrent.new_tensor(-1.0)
    of_words = (gates.flatten(3), *gates.unbind(3), states, cells, squashed)
    state = cell = None
    for gate, takes, keeps, new, shows, next_state, next_cell, flat in zip(*(each.unbind(1) for each in of_words)):
        if state is None:
            gate.sigmoid_()
        else:
            products.squashed(gate, state, recurrent, out=gate)
        torch.add(less_one, new, alpha=2, out=new)
        torch.mul(takes, new, out=next_cell)
        if cell is not None:
            next_cell.addcmul_(keeps, cell)
        torch.add(next_cell, next_cell, out=flat).sigmoid_()
        torch.add(less_one, flat, alpha=2, out=flat)
        torch.mul(shows, flat, out=next_state)
        state, cell = next_state, next_cell


def _derivatives(gates, cells, squashed):
    """By what a cell's gradient (the last gate's: a state's) comes to each gate, and a state's to its cell."""
    takes, keeps, new, shows = gates.unbind(3)
    of_gates = torch.empty_like(gates)
    of_takes, of_keeps, of_new, of_shows = of_gates.unbind(3)
    _aten.sigmoid_backward.grad_input(new, takes, grad_input=of_takes)
    of_keeps[:, 0] = 0
    _aten.sigmoid_backward.grad_input(cells[:, :-1], keeps[:, 1:], grad_input=of_keeps[:, 1:])
    _aten.tanh_backward.grad_input(takes, new, grad_input=of_new)
    _aten.sigmoid_backward.grad_input(squashed, shows, grad_input=of_shows)
    return of_gates, _aten.tanh_backward(shows, squashed)


def _go_back(of_gates, of_cells, gates, of_states, turned):
    """Makes gradients of what `_derivatives` gave, from the last word to the first.

    Args:
        of_gates: (2, length, batch, 4, units).
        of_cells, of_states: (2, length, batch, units); the latter are the gradients of the states from outside.
        gates: (2, length, batch, 4, units).
        turned: (2, 4 * units, units).
    """
    of_words = (
        of_gates.flatten(3),
        of_gates[:, :, :, :3],
        of_gates[:, :, :, 3],
        gates[:, :, :, 1],
        of_cells,
        of_states,
    )
    cell = torch.zeros_like(of_states[:, 0])
    on_three, later = cell[:, :, None], None
    for gate, three, shows, keeps, of_cell, state in zip(*(each.unbind(1)[::-1] for each in of_words)):
        if later is not None:
            state = products.added(state, later, turned)
        cell.addcmul_(state, of_cell)
        three.mul_(on_three)
        shows.mul_(state)
        cell.mul_(keeps)
        later = gate


def prepare(layer):
    """Has a BidirectionalLSTM be computed so."""
    layer.call = functools.partial(call, layer, layer.call)
