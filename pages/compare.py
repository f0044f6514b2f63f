"""Finished backtests beside each other: errors by horizon and sensor, what each part of the model is worth."""

from stvlm.ui import comparing, frame

frame.page("compare")
results, one = comparing.pick()
comparing.errors(results, one)
comparing.by_sensor(one)
comparing.panel(one)
comparing.few_shot(results)
comparing.command()
