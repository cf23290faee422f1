"""A page about a data set: what its columns hold, and how validation differs from training."""

from emberline.etl.report.page import render
from emberline.etl.report.profile import DataProfile, profile
from emberline.etl.report.write import write_report

__all__ = ["DataProfile", "profile", "render", "write_report"]
