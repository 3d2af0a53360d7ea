"""TextCNN and a bidirectional LSTM as one writes them by hand in PyTorch: fused AdamW, batches of like length, packed
sequences, no framework around them.
"""

import argparse
import random
from collections import Counter

import torch
from sst2 import Clock, read
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

POOL_BATCHES = 100  # batches whose sentences are sorted together, as torchtext's BucketIterator did
PADDING, UNKNOWN = 0, 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--model", choices=("textcnn", "bilstm"), required=True)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--learning_rate", type=float, default=1e-3)
    parser.add_argument("--vocabulary_size", type=int, default=20000)
    parser.add_argument("--embedding_dim", type=int, default=300)
    parser.add_argument("--num_filters", type=int, default=100)
    parser.add_argument("--kernel_sizes", default="3,4,5")
    parser.add_argument("--lstm_units", type=int, default=150)
    parser.add_argument("--dropout", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    clock = Clock()
    texts, labels = read(arguments.data_dir, "train", arguments.rows)
    counts = Counter(word for text in texts for word in text.split())
    vocabulary = {word: id for id, (word, _) in enumerate(counts.most_common(arguments.vocabulary_size - 2), start=2)}
    arguments.vocabulary_size = len(vocabulary) + 2  # no vectors that no word has
    sentences = encoded(texts, vocabulary)
    model = {"textcnn": TextCNN, "bilstm": BiLSTM}[arguments.model](arguments)
    optimizer = torch.optim.AdamW(model.parameters(), arguments.learning_rate, weight_decay=0.0, fused=True)
    model.train()
    for rows in batches([len(each) for each in sentences], arguments.batch_size, random.Random(arguments.seed)):
        ids, lengths = padded([sentences[row] for row in rows])
        loss = functional.cross_entropy(model(ids, lengths), torch.tensor([labels[row] for row in rows]))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        clock.stepped(len(rows))
    clock.report(accuracy(model, arguments.data_dir, vocabulary), torch=torch.__version__)


def encoded(texts, vocabulary):
    return [[vocabulary.get(word, UNKNOWN) for word in text.split()] or [UNKNOWN] for text in texts]


def padded(sentences):
    """int64, (batch, length), and the lengths."""
    lengths = torch.tensor([len(sentence) for sentence in sentences])
    ids = torch.full((len(sentences), int(lengths.max())), PADDING)
    for row, sentence in enumerate(sentences):
        ids[row, : len(sentence)] = torch.tensor(sentence)
    return ids, lengths


def batches(lengths, batch_size, numbers):
    """Every sentence once: pools of shuffled sentences, sorted by length, cut into batches, shuffled again."""
    order = list(range(len(lengths)))
    numbers.shuffle(order)
    for start in range(0, len(order), POOL_BATCHES * batch_size):
        pool = sorted(order[start : start + POOL_BATCHES * batch_size], key=lengths.__getitem__)
        cut = [pool[first : first + batch_size] for first in range(0, len(pool), batch_size)]
        numbers.shuffle(cut)
        yield from cut


class TextCNN(nn.Module):
    """Convolutions of several widths over word vectors, the maximum over time (Kim 2014)."""

    def __init__(self, sizes):
        super().__init__()
        self.widths = [int(width) for width in sizes.kernel_sizes.split(",")]
        self.embedding = nn.Embedding(sizes.vocabulary_size, sizes.embedding_dim, padding_idx=PADDING)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(sizes.embedding_dim, sizes.num_filters, width) for width in self.widths
        )
        self.dropout = nn.Dropout(sizes.dropout)
        self.logits = nn.Linear(len(self.widths) * sizes.num_filters, 2)

    def forward(self, ids, lengths):
        ids = functional.pad(ids, (0, max(0, max(self.widths) - ids.shape[1])), value=PADDING)
        vectors = self.embedding(ids).transpose(1, 2)
        maxima = [functional.relu(convolution(vectors)).amax(dim=2) for convolution in self.convolutions]
        return self.logits(self.dropout(torch.cat(maxima, dim=1)))


class BiLSTM(nn.Module):
    """A bidirectional LSTM over packed sequences, the maximum over time."""

    def __init__(self, sizes):
        super().__init__()
        self.embedding = nn.Embedding(sizes.vocabulary_size, sizes.embedding_dim, padding_idx=PADDING)
        self.lstm = nn.LSTM(sizes.embedding_dim, sizes.lstm_units, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(sizes.dropout)
        self.logits = nn.Linear(2 * sizes.lstm_units, 2)

    def forward(self, ids, lengths):
        packed = pack_padded_sequence(self.embedding(ids), lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, padding_value=float("-inf"))
        return self.logits(self.dropout(states.amax(dim=1)))


@torch.inference_mode()
def accuracy(model, folder, vocabulary):
    texts, labels = read(folder, "dev")
    sentences = encoded(texts, vocabulary)
    model.eval()
    right = 0
    for start in range(0, len(labels), 256):
        predicted = model(*padded(sentences[start : start + 256])).argmax(dim=1)
        right += int((predicted == torch.tensor(labels[start : start + 256])).sum())
    return right / len(labels)


if __name__ == "__main__":
    main()
