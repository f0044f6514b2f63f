"""What is fast, and how we know: one command for each figure."""

from stvlm.runtime import environment

environment.prepare()  # before numpy and torch are loaded, as in the app
