"""What happens to files: bytes that were valid and are so no longer, or still are."""

from hypothesis import strategies as st

# What formats give a meaning to, what no text holds, and what is more than a parser takes.
_PIECES = [b"\0", b"\xff", b"\xc3", b"\r", b"\n", b"\t", b",", b'"', b'""', b"\\", b"\xef\xbb\xbf", b"\xe2\x80\xa8"]
_PIECES += [b"{", b"}", b"null", b"NaN", b"-Infinity", b"\\ud800", b"[" * 2000, b"9" * 5000, b"1e999"]


@st.composite
def damaged(draw, content):
    """Strategy of bytes: content cut short, or with pieces lost, doubled, put in or written over.

    Args:
        content: bytes.
    """
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.one_of(st.just(start), st.just(len(content)), st.integers(start, len(content))))
        pieces = st.one_of(
            st.just(b""), st.sampled_from(_PIECES), st.binary(max_size=8), st.just(content[start:end] * 2)
        )
        content = content[:start] + draw(pieces) + content[end:]
    return content
