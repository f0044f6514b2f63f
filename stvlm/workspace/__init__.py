"""The folder of runs, uploads and networks: paths, locks, quotas."""
