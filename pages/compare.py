"""Finished backtests beside each other: errors by horizon and sensor, what each part of the model is worth."""

from stvlm.ui import compare
from stvlm.ui.shell import layout

layout.page("compare")
results, one = compare.pick()
compare.errors(results, one)
compare.by_sensor(one)
compare.panel(one)
compare.few_shot(results)
compare.command()
