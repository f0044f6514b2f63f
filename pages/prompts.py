"""What the model reads: one window in plain words, within a budget of tokens."""

from stvlm.ui import frame, models, reading, widgets

frame.page("prompts")
series = widgets.need_series()
choice, window = models.pick(series)
reading.prompt_and_template(choice, window)
