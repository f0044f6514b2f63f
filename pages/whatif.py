"""What would be forecast if a sensor were down, a picture spoilt or the prompt told of a crash: two forecasts side by side."""

from stvlm.ui import compare, whatif
from stvlm.ui.services import forecasters
from stvlm.ui.shell import inputs, layout

layout.page("whatif")
series = inputs.need_series()
choice, window = forecasters.pick_forecast(series)
whatif.linked_views(choice, window)
compare.panel_of_network()
