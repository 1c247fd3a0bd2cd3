"""The papers' printed numbers beside ours: evidence, verdicts, orderings, staleness, second looks."""

# Which notebooks each paper's printed numbers are compared with; the rivals' are of two.
PAPERS = {"ics": ["ics"], "nln": ["nln", "nln_defects", "rivals"], "crbnd": ["crbnd"], "ade_gan": ["ade_gan", "rivals"]}
