"""Texts cut at their spaces, so that what occurs often is tokenised once.

Where a tokenizer's stages never look across a space, a text's tokens are those of its pieces, one after another.
"""

from typing import NamedTuple

import numpy as np


class Pieces(NamedTuple):
    """What stands between the spaces of some texts.

    Attributes:
        distinct: the different pieces: [str, …].
        places: int64, (total_pieces,), each text's pieces by their place in `distinct`, one text after another.
        offsets: int64, (num_texts + 1,); text i has `places[offsets[i]:offsets[i + 1]]`.
    """

    distinct: list[str]
    places: np.ndarray
    offsets: np.ndarray


def cut(texts):
    """The Pieces of texts: [str, …]. Only U+0020 is a space here."""
    numbers: dict[str, int] = {}
    lengths = [0]

    def places():
        for text in texts:
            pieces = text.split(" ")
            lengths.append(len(pieces))
            for piece in pieces:
                yield numbers.setdefault(piece, len(numbers))

    found = np.fromiter(places(), np.int64)
    return Pieces(list(numbers), found, np.cumsum(lengths, dtype=np.int64))


def truncated(token_ids, offsets, max_length):
    """The first ids of each text, so many at most: (token_ids, offsets) as `joined` gives them."""
    lengths = np.diff(offsets)
    if not len(lengths) or lengths.max() <= max_length:
        return token_ids, offsets
    place = np.arange(len(token_ids)) - np.repeat(offsets[:-1], lengths)  # of each id in its text
    return token_ids[place < max_length], np.concatenate([[0], np.cumsum(np.minimum(lengths, max_length))])


def surrounded(token_ids, offsets, first, last):
    """The ids of each text between two more: (token_ids, offsets) as `joined` gives them."""
    around = offsets + 2 * np.arange(len(offsets))
    found = np.zeros(around[-1], np.int32)
    is_between = np.ones(len(found), bool)
    is_between[around[:-1]] = is_between[around[1:] - 1] = False
    found[around[:-1]], found[around[1:] - 1], found[is_between] = first, last, token_ids
    return found, around


def joined(token_ids, offsets, pieces):
    """Token ids of texts from those of their pieces.

    Args:
        token_ids: int32, of all distinct pieces, one after another.
        offsets: int64, (number of distinct pieces + 1,), where each begins and ends.
        pieces: Pieces.

    Returns:
        (token_ids, int32, of all texts; offsets, int64, (num_texts + 1,)).
    """
    lengths = np.diff(offsets)[pieces.places]
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    shift = offsets[:-1][pieces.places] - ends[:-1]  # from a place among all texts' ids to that among the pieces'
    return token_ids[np.arange(ends[-1]) + np.repeat(shift, lengths)], ends[pieces.offsets]
