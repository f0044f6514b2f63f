"""What would be forecast if a sensor were down, a picture spoilt or the prompt told of a crash: two forecasts side by side."""

from stvlm.ui import comparing, frame, models, whatif, widgets

frame.page("whatif")
series = widgets.need_series()
choice, window = models.pick(series)
whatif.linked_views(choice, window)
comparing.panel_of_network()
