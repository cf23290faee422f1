"""Keras callbacks that keep a model's tables within bounds while it trains."""
