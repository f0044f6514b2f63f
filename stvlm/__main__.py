"""Run the command line: `python -m stvlm VERB`."""

from stvlm.runtime import environment


def run() -> None:
    """The program as a process of its own: run the verb on the command line and leave with its exit code."""
    environment.prepare()
    import sys
    import warnings

    from stvlm.cli.main import main

    if not sys.warnoptions:  # stderr is for progress and for what is wrong with the input
        warnings.simplefilter("ignore")
    sys.exit(main())


if __name__ == "__main__":
    run()
