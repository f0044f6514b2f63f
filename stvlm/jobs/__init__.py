"""Training runs: one folder and one worker process each."""
