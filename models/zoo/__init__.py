"""Ready models, built from plain Keras layers and `EmbeddingCollection`."""
