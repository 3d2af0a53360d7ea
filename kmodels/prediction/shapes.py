"""Which sentences share a batch, and its shape."""

import numpy as np

from kmodels.data.batching import FILLER

# Where every shape is compiled: few lengths and few numbers of rows for what does not fill a batch.
SMALL_ROWS = (1, 8)
SMALL_LENGTHS = (16, 32, 64, 256)
CELLS_OF_A_START = 64  # what starting a batch costs, beside what is in it


def plan(lengths, shapes):
    """Puts sentences into batches: from the longest down, so that what does not fill a batch is short.

    Args:
        lengths: int, (num_sentences,); tokens of each sentence.
        shapes: FixedShapes or AnyShapes.

    Yields:
        (rows, length): int, (batch,), numbers of the batch's sentences, then FILLER; the length to pad to.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        num_rows, length = shapes.of(len(order) - start, int(lengths[order[start]]))
        rows = order[start : start + num_rows]
        start += len(rows)
        yield np.concatenate([rows, np.full(num_rows - len(rows), FILLER)]), length


class AnyShapes:
    """Batches without fillers, padded to their own longest sentence, where no shape costs a compilation.

    Args:
        batch_tokens: cells of a batch.
        longest: the most tokens that a sentence has.
    """

    def __init__(self, batch_tokens, longest):
        self.batch_tokens = max(batch_tokens, longest)

    def of(self, num_rows, length):
        """The (rows, length) of a batch whose longest sentence has `length` tokens, if so many sentences are left."""
        length = max(1, length)
        return min(num_rows, max(1, self.batch_tokens // length)), length


class FixedShapes:
    """The same few shapes for every stream: full batches of about twenty lengths, a dozen small shapes for the rest.

    Args:
        batch_tokens: cells of a full batch.
        longest: the most tokens that a sentence has.
    """

    def __init__(self, batch_tokens, longest):
        self.batch_tokens = max(batch_tokens, longest)
        self.lengths = fixed_lengths(longest)
        self.small_lengths = np.array([*(length for length in SMALL_LENGTHS if length < longest), longest])

    def of(self, num_rows, length):
        """The (rows, length) of a batch whose longest sentence has `length` tokens, if so many sentences are left."""
        full, small = _least(self.lengths, length), _least(self.small_lengths, length)
        most = self._full_rows(small)
        candidates = [(self._full_rows(full), full), *((rows, small) for rows in (*SMALL_ROWS, most) if rows <= most)]
        return min(candidates, key=lambda shape: (shape[0] * shape[1] + CELLS_OF_A_START) / min(num_rows, shape[0]))

    def needed(self, num_sentences):
        """Every (rows, length) that at most so many sentences can need, ascending.

        Some have more rows than there are sentences: a few short ones cost less in a full batch than in a longer one.
        """
        most = min(num_sentences, self._full_rows(self.lengths[0]))  # what is more than all rows changes no choice
        return sorted({self.of(number, int(length)) for number in range(1, most + 1) for length in self.lengths})

    def _full_rows(self, length):
        return 2 ** int(np.log2(self.batch_tokens // length))


def fixed_lengths(longest):
    """Lengths a quarter of an octave apart, at least 2 apart, up to `longest`: 2, 4, … 16, 20, 24, 28, 32, 40, …"""
    lengths = [length for length in range(2, 16, 2) if length < longest]
    quarters = [2**octave * quarter // 4 for octave in range(4, 32) for quarter in (4, 5, 6, 7)]
    return np.array([*lengths, *(length for length in quarters if length < longest), max(1, longest)])


def _least(lengths, length):
    """The least of ascending lengths that holds a sentence of `length` tokens."""
    return int(lengths[np.searchsorted(lengths, length)])
