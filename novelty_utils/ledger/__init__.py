"""The papers' printed numbers beside ours: evidence, verdicts, orderings, staleness, second looks."""

PAPERS = {"ics": ["ics"], "nln": ["nln", "nln_defects"], "crbnd": ["crbnd"], "ade_gan": ["ade_gan"]}  # their notebooks
