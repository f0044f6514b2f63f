"""Fitting, checkpoints, pretraining."""
