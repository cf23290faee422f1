"""Plant each bug in a copy of the table; the tests must fail on every one.

python -m tests.mutations [--only TEXT]
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.mutations.mutation import MUTATIONS, Mutation
from tests.mutations.scratch import Outcome, Scratch

__all__ = ["run"]


def run(mutations: Sequence[Mutation], folder: Path) -> dict[str, Outcome]:
    """Build a copy, see its tests pass without a bug, then plant the bugs one by one.

    Returns:
        Mutation's name -> what the tests said.

    Raises:
        RuntimeError: the tests fail without a bug, so they would prove nothing.
    """
    scratch = Scratch(folder)
    scratch.build()
    sound = scratch.test(timeout_s=1200)
    print(f"no bug    passed   {sound.words} ({sound.seconds:.0f} s)", flush=True)
    if not sound.passed:
        raise RuntimeError(f"the tests fail without a planted bug: {sound.words}")
    outcomes = {}
    for mutation in mutations:
        mutation.plant(folder)
        scratch.build()
        outcome = scratch.test(timeout_s=60 + 4 * sound.seconds, first=mutation.tests)
        verdict = "MISSED" if outcome.passed else "caught"
        print(
            f"{verdict}    {mutation.name}: {outcome.words} ({outcome.seconds:.0f} s)", flush=True
        )
        outcomes[mutation.name] = outcome
        scratch.restore(mutation.file)
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="bugs whose name has this text")
    arguments = parser.parse_args()
    chosen = [mutation for mutation in MUTATIONS if arguments.only in mutation.name]
    with tempfile.TemporaryDirectory() as folder:
        outcomes = run(chosen, Path(folder).resolve())
    missed = [name for name, outcome in outcomes.items() if outcome.passed]
    print(f"{len(outcomes) - len(missed)} of {len(outcomes)} planted bugs were caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
