"""What the model sees: the network of one moment painted as images."""

from stvlm.ui import images
from stvlm.ui.services import forecasters
from stvlm.ui.shell import inputs, layout

layout.page("images")
series = inputs.need_series()
choice, window = forecasters.pick_forecast(series)
images.pictures(choice, window)
