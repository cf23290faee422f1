"""Composition: recipes, command line, scoring of raw rows."""
