"""Studies of what parts of the model are worth, and parts that did not pay on real networks; `stvlm` imports none of it."""

from stvlm.runtime import environment

environment.prepare()  # before numpy and torch are loaded, as in the app
