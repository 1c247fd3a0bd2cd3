"""The papers' printed numbers beside ours: evidence, verdicts, orderings, staleness, second looks."""
