"""Metrics, baselines, backtests, benchmarks, ablations."""
