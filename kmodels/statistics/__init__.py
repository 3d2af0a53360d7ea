"""What may be claimed from a few seeds and one set of sentences: arithmetic on arrays, on SciPy's distributions."""
