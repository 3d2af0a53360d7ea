"""Which sentences go into which batch: a pure function of lengths, seed and epoch.

Sentences of similar length share a batch, batches have few different shapes, and every sentence is in exactly one batch
of an epoch. Nothing here knows a framework, so all of it is tested on integers.
"""

from dataclasses import dataclass

import numpy as np

from kmodels.data.tokenizers import TokenizedTexts

FILLER = -1
MOST_COMPILED = 12  # lengths that batches have where each is compiled: nine tenths of SST-2's cells are then tokens
MOST_LENGTHS = 64


@dataclass(frozen=True)
class Plan:
    """The batches of one epoch.

    Attributes:
        rows: int, (num_steps, batch_size); the number of each batch's sentences, FILLER for rows of weight 0.
        lengths: int, (num_steps,); the length in tokens to which each batch is padded.
    """

    rows: np.ndarray
    lengths: np.ndarray

    def __len__(self):
        return len(self.lengths)

    def share(self, rank, world_size):
        """The part of this plan that one of `world_size` workers computes: the same steps and lengths, fewer rows.

        Rows are dealt out in turns, so that fillers spread over the workers.

        Args:
            rank: from 0 to world_size - 1.
            world_size: a divisor of the batch size.
        """
        if self.rows.shape[1] % world_size:
            raise ValueError(f"world_size must divide the batch size {self.rows.shape[1]}; got {world_size}")
        return Plan(self.rows[:, rank::world_size], self.lengths)


def default_num_buckets(num_steps, each_is_compiled=True):
    """How many lengths pay: another one spares padding in each step, and costs a compilation once.

    Args:
        num_steps: batches of an epoch.
        each_is_compiled: False on a framework to which a new shape is nothing new.
    """
    return min(MOST_COMPILED, max(1, num_steps // 20)) if each_is_compiled else MOST_LENGTHS


def bucket_lengths(lengths, num_buckets, multiple_of=1):
    """The padded lengths that waste least: at most `num_buckets`, so that few shapes are compiled.

    Of all choices among multiples of `multiple_of`, the one with the fewest padding tokens, found by dynamic
    programming over the distinct lengths.

    Args:
        lengths: int, (num_sentences,); tokens of each sentence.
        num_buckets: how many different lengths batches may have.
        multiple_of: every bucket is a multiple of this.

    Returns:
        int, (at most num_buckets,), ascending; the last holds the longest sentence.
    """
    rounded = -(-np.maximum(lengths, 1) // multiple_of) * multiple_of
    candidates, counts = np.unique(rounded, return_counts=True)
    before = np.concatenate([[0], np.cumsum(counts)])  # sentences shorter than candidate i
    # cost[j]: least padded tokens of all sentences up to candidate j; the first bucket takes them all.
    cost = candidates * before[1:]
    choices = []
    for _ in range(min(num_buckets, len(candidates)) - 1):
        # total[i, j]: the last bucket j takes the sentences longer than candidate i
        total = cost[:, None] + candidates[None, :] * (before[None, 1:] - before[1:, None])
        total[np.tril_indices(len(candidates))] = np.iinfo(np.int64).max
        last = np.argmin(total, axis=0)
        improved = total[last, np.arange(len(candidates))]
        choices.append(np.where(improved < cost, last, -1))
        cost = np.minimum(cost, improved)
    return candidates[_chosen(choices, len(candidates) - 1)]


def _chosen(choices, position):
    """Walks the dynamic programme's choices back from the longest bucket. Returns ascending positions."""
    positions = [position]
    for choice in reversed(choices):
        previous = choice[positions[-1]]
        if previous >= 0:
            positions.append(previous)
    return np.array(positions[::-1])


def plan_epoch(lengths, buckets, batch_size, seed=None, epoch=0):
    """The batches of one epoch: every sentence once, in ceil(num_sentences / batch_size) batches.

    Sentences are shuffled and cut into batches bucket by bucket, from the shortest; what does not fill a batch moves
    on to the next longer bucket, so only the very last batch can hold fillers. Then the batches are shuffled.

    Args:
        lengths: int, (num_sentences,); tokens of each sentence.
        buckets: int, ascending, the last at least as long as the longest sentence (`bucket_lengths`).
        batch_size: rows of every batch.
        seed: decides the order; None for no shuffling, as validation wants it.
        epoch: another epoch, another order; any epoch's order is known without the ones before.

    Returns:
        A Plan, the same on every machine.
    """
    lengths = np.asarray(lengths)
    generator = None if seed is None else np.random.Generator(np.random.Philox(key=[seed, epoch]))
    order = np.arange(len(lengths)) if generator is None else generator.permutation(len(lengths))
    bucket_of = np.searchsorted(buckets, lengths[order])
    rows, padded_lengths, waiting = [], [], np.empty(0, np.int64)
    for bucket, padded_length in enumerate(buckets):
        waiting = np.concatenate([waiting, order[bucket_of == bucket]])
        whole = len(waiting) // batch_size
        rows.append(waiting[: whole * batch_size].reshape(whole, batch_size))
        padded_lengths += [padded_length] * whole
        waiting = waiting[whole * batch_size :]
    if len(waiting):
        fillers = np.full(batch_size - len(waiting), FILLER)
        rows.append(np.concatenate([waiting, fillers])[None])
        padded_lengths.append(buckets[np.searchsorted(buckets, lengths[waiting].max())])
    plan = Plan(np.concatenate(rows), np.array(padded_lengths, np.int64))
    if generator is None:
        return plan
    turn = generator.permutation(len(plan))
    return Plan(plan.rows[turn], plan.lengths[turn])


def real_token_fraction(plan, lengths):
    """Part of the plan's cells that hold a token rather than padding."""
    return float(np.sum(lengths) / (plan.lengths.sum() * plan.rows.shape[1]))


def assemble(tokenized, labels, rows, length, padding_id):
    """One batch as arrays.

    Args:
        tokenized: `kmodels.data.tokenizers.TokenizedTexts`.
        labels: int, (num_sentences,).
        rows: int, (batch,); numbers of sentences, FILLER for rows of weight 0.
        length: tokens to pad to.
        padding_id: the id that fills up.

    Returns:
        inputs: {"token_ids": int32, (batch, length); "padding_mask": bool, (batch, length), True on real tokens}.
        labels: int32, (batch,); 0 for fillers.
        weights: float32, (batch,); 1 for sentences, 0 for fillers.
    """
    starts = tokenized.offsets[rows]
    counts = tokenized.offsets[rows + 1] - starts  # of a filler less than 1
    if (counts == length).all():  # nothing to fill up: as in most batches where each length has its own
        token_ids = tokenized.token_ids[starts[:, None] + np.arange(length)].astype(np.int32)
        inputs = {"token_ids": token_ids, "padding_mask": np.ones(token_ids.shape, bool)}
        return inputs, labels[rows].astype(np.int32), np.ones(len(rows), np.float32)
    real = rows != FILLER
    rows = np.where(real, rows, 0)
    starts = tokenized.offsets[rows]
    counts = np.where(real, counts, 0)
    position = np.arange(length)
    padding_mask = position < counts[:, None]  # (batch, length)
    # Where there is no token any cell will do: its value is replaced.
    cells = np.where(padding_mask, starts[:, None] + position, 0)
    source = tokenized.token_ids if len(tokenized.token_ids) else np.zeros(1, np.int32)
    token_ids = np.where(padding_mask, source[cells], padding_id).astype(np.int32)
    inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
    return inputs, np.where(real, labels[rows], 0).astype(np.int32), real.astype(np.float32)


@dataclass(frozen=True)
class Batches:
    """Sentences and how they are put into batches.

    Attributes:
        tokenized: `kmodels.data.tokenizers.TokenizedTexts`.
        labels: int, (num_sentences,).
        buckets: int, ascending; the lengths that batches may have.
        batch_size: rows of every batch.
        padding_id: the id that fills up.
        seed: decides the order of every epoch; None for no shuffling.
        rank, num_workers: which part of each batch `iterate` gives; by default all of it.
    """

    tokenized: TokenizedTexts
    labels: np.ndarray
    buckets: np.ndarray
    batch_size: int
    padding_id: int
    seed: int | None = None
    rank: int = 0
    num_workers: int = 1

    @property
    def num_steps(self):
        """Batches of one epoch; the same in every epoch."""
        return -(-len(self.labels) // self.batch_size)

    def plan(self, epoch=0):
        """The Plan of an epoch."""
        return plan_epoch(self.tokenized.lengths, self.buckets, self.batch_size, self.seed, epoch)

    def iterate(self, epoch=0, first_step=0):
        """Yields the arrays of `assemble` for this worker's part of an epoch's batches, from one of its steps on.

        With several workers, weights are such that in every batch those of all workers sum to the batch size, fillers
        or not: a worker that divides by its part of the batch size then needs no word from the others.
        """
        plan = self.plan(epoch)
        num_real = np.count_nonzero(plan.rows != FILLER, axis=1)
        share = plan.share(self.rank, self.num_workers)
        for step in range(first_step, len(plan)):
            rows, length = share.rows[step], share.lengths[step]
            inputs, labels, weights = assemble(self.tokenized, self.labels, rows, length, self.padding_id)
            if self.num_workers > 1:
                weights *= np.float32(self.batch_size / num_real[step])
            yield inputs, labels, weights
