"""Embedding layers over `emberline.kernels.HashTable`."""
