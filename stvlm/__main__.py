"""Run the command line: `python -m stvlm VERB`."""

from stvlm.cli.main import run

if __name__ == "__main__":
    run()
