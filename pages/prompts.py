"""What the model reads: one window in plain words, within a budget of tokens."""

from stvlm.ui import prompts
from stvlm.ui.services import forecasters
from stvlm.ui.shell import inputs, layout

layout.page("prompts")
series = inputs.need_series()
choice, window = forecasters.pick_forecast(series)
prompts.prompt_and_template(choice, window)
