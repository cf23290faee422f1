"""Hypothesis: the profile comes from HYPOTHESIS_PROFILE, the seed is printed at the top."""

import os
import random

import pytest
from hypothesis import settings

# No deadline anywhere: on a machine with two busy cores a time limit for one example fails at
# random. "ci" tries the same examples in every run, "dev" new ones.
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("dev", deadline=None, print_blob=True)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Load the profile, and choose the seed here so that the header can name it."""
    option = config.getoption("--hypothesis-profile")
    settings.load_profile(option or os.environ.get("HYPOTHESIS_PROFILE", "dev"))
    if config.getoption("--hypothesis-seed") is None and not settings().derandomize:
        config.option.hypothesis_seed = str(random.SystemRandom().randrange(2**32))


def pytest_report_header(config: pytest.Config) -> str:
    """Say how to try the same examples again."""
    seed = config.getoption("--hypothesis-seed")
    if seed is None:
        return "hypothesis: the same examples in every run (derandomized)"
    return f"hypothesis: repeat this run's examples with --hypothesis-seed={seed}"
