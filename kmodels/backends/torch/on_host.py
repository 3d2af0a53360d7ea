"""Counts that live on a device, known without waiting for it."""

import torch


class HostCopy:
    """The numbers of a tensor of which the last is counted up.

    To read a tensor of a GPU is to wait until the GPU has done all that it was asked for. PyTorch knows on the host how
    often a tensor was changed in place: what `counted` was not told of, a checkpoint's state for one, is read.
    """

    def __init__(self):
        self._tensor, self._version = torch.empty(0), 0
        self._numbers: list[int] = []

    def numbers(self, tensor):
        """What the tensor holds: [int, …].

        Args:
            tensor: torch.Tensor, int, of any shape.
        """
        if tensor.device.type == "cpu":
            return tensor.flatten().tolist()
        if tensor is not self._tensor or tensor._version != self._version:
            self._tensor, self._version = tensor, tensor._version
            self._numbers = tensor.flatten().tolist()
        return self._numbers

    def count_up(self, tensor):
        """Makes the last number one more."""
        if tensor.device.type == "cpu":
            tensor.numpy().reshape(-1)[-1:] += 1  # PyTorch takes four times as long for one number
        else:
            tensor.view(-1)[-1].add_(1)
            self.counted(tensor)

    def counted(self, tensor):
        """To be called after each change that makes the last number one more, in one operation."""
        if tensor is self._tensor and tensor._version == self._version + 1:
            self._version += 1
            self._numbers[-1] += 1
