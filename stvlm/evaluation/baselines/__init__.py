"""Deep baselines, written from their papers and trained in the same harness as everything else."""

DEEP = ("dlinear", "stid", "graph wavenet")
