"""End-to-end jobs, each a list of stages in a run directory."""
