"""Counts that live on a device, known without waiting for it."""

import torch


class HostCopy:
    """The numbers of a tensor of which the last is counted up, one at a time, in place.

    To read a tensor of a GPU is to wait until the GPU has done all that it was asked for. PyTorch counts on the host
    how often a tensor was changed in place: once since the last look means one more; anything else, a checkpoint's
    state for one, is read.
    """

    def __init__(self):
        self._tensor, self._version = torch.empty(0), 0
        self._numbers: list[int] = []

    def numbers(self, tensor):
        """What the tensor holds: [int, …].

        Args:
            tensor: torch.Tensor, int, of any shape.
        """
        changes = tensor._version - self._version if self._tensor is tensor else None
        if changes == 1:
            self._numbers[-1] += 1
        elif changes != 0:
            self._numbers = tensor.flatten().tolist()
        self._tensor, self._version = tensor, tensor._version
        return self._numbers
