"""An LSTM in both directions over words, on a CPU, with fewer operations than two.

What it multiplies a word's vector with is multiplied once however often a batch has the word (`words`), one product has
the next step of both directions, and what the gates' gradients have in common is found for all steps at once.
"""

import functools

import torch
from keras import ops

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
    products = torch.addmm(torch.cat(biases), rows, torch.cat(kernels, dim=1)).view(2 * len(rows), -1)
    states = _States.apply(products, both, torch.stack(recurrent))  # (length, 2, batch, units)
    forward, backward = states.transpose(0, 2).unbind(1)  # (batch, length, units)
    return layer.pooled(forward, backward, padding_mask)


class _States(torch.autograd.Function):
    """The states of both directions after each word, (length, 2, batch, units)."""

    @staticmethod
    def forward(ctx, products, places, recurrent):
        """
        Args:
            products: float32, (2 * number of rows, 4 * units): each row's, with bias, for forward and backward.
            places: int64, (2, batch, length): the row of each word in the order of its direction.
            recurrent: float32, (2, units, 4 * units).
        """
        _, batch, length = places.shape
        units = recurrent.shape[1]
        at = (2 * places.permute(2, 0, 1) + torch.arange(2)[:, None]).reshape(-1)
        gates = products.index_select(0, at).view(length, 2, batch, 4 * units)
        states, cells, squashed = (products.new_empty(length, 2, batch, units) for _ in range(3))
        before = None
        for gate, *found in zip(gates.unbind(), states.unbind(), cells.unbind(), squashed.unbind()):
            before = _step(gate, before, recurrent, *found)
        ctx.save_for_backward(at, gates, recurrent, states, cells, squashed)
        ctx.num_products = len(products)
        return states

    @staticmethod
    def backward(ctx, of_states):
        at, gates, recurrent, states, cells, squashed = ctx.saved_tensors
        length, _, batch, units = states.shape
        found, of_cells = _derivatives(gates.view(length, 2, batch, 4, units), cells, squashed)
        forgets = gates[..., units : 2 * units].unbind()
        cell = torch.zeros_like(states[0])
        state, turned = of_states[-1], recurrent.transpose(1, 2)
        for step in range(length - 1, -1, -1):
            cell.addcmul_(state, of_cells[step])
            found[step, :, :, :3] *= cell[:, :, None]
            found[step, :, :, 3] *= state
            if step:
                cell *= forgets[step]
                state = torch.baddbmm(of_states[step - 1], found[step].flatten(2), turned)
        found = found.flatten(3)  # (length, 2, batch, 4 * units)
        later, earlier = (each.transpose(0, 1).flatten(1, 2) for each in (found[1:], states[:-1]))  # (2, …, dim)
        of_recurrent = torch.bmm(earlier.transpose(1, 2), later)
        of_products = _aten.embedding_dense_backward(found.view(len(at), -1), at, ctx.num_products, -1, False)
        return of_products, None, of_recurrent


def _step(gate, before, recurrent, state, cell, squashed):
    """One word more, in place; gives (state, cell)."""
    units = cell.shape[-1]
    if before is not None:
        gate.baddbmm_(before[0], recurrent)
    gate[..., : 2 * units].sigmoid_()
    takes, forgets, new, shows = gate.chunk(4, dim=-1)
    torch.mul(takes, new.tanh_(), out=cell)
    if before is not None:
        cell.addcmul_(forgets, before[1])
    torch.mul(shows.sigmoid_(), torch.tanh(cell, out=squashed), out=state)
    return state, cell


def _derivatives(gates, cells, squashed):
    """By what the gradients of a cell (of the last gate: of a state) come to its gates, and a state's to its cell."""
    takes, forgets, new, shows = gates.unbind(3)
    found = torch.empty_like(gates)
    _aten.sigmoid_backward.grad_input(new, takes, grad_input=found[:, :, :, 0])
    found[0, :, :, 1] = 0
    _aten.sigmoid_backward.grad_input(cells[:-1], forgets[1:], grad_input=found[1:, :, :, 1])
    _aten.tanh_backward.grad_input(takes, new, grad_input=found[:, :, :, 2])
    _aten.sigmoid_backward.grad_input(squashed, shows, grad_input=found[:, :, :, 3])
    return found, _aten.tanh_backward(shows, squashed)


def prepare(layer):
    """Has a BidirectionalLSTM be computed so."""
    layer.call = functools.partial(call, layer, layer.call)
