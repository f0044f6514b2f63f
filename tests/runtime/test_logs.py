"""The log is one line of JSON for each event, and no word of a file, a form or an address comes into it."""

import json
import logging
import sys
import urllib.request

from stvlm.runtime import logs

SECRET = "=cmd|'/C calc'!A0 63.017 <img src=x onerror=alert(1)>"


def streamlit_logger() -> logging.Logger:
    """A logger as Streamlit makes its own, with a handler of its own; made in the test, since each phase of one has its own stderr."""
    logger = logging.getLogger("streamlit.hostile")
    logger.propagate, logger.handlers = False, [logging.StreamHandler(sys.stderr)]
    logs.begin()
    return logger


def lines(capsys) -> list[dict]:
    text = capsys.readouterr().err
    assert "cmd" not in text
    assert "63.017" not in text
    assert "onerror" not in text
    return [json.loads(line) for line in text.splitlines()]


def test_an_error_that_quotes_a_cell_is_told_by_its_kind_and_place(capsys):
    logger = streamlit_logger()
    try:
        float(SECRET)
    except ValueError as error:
        logger.error("Uncaught app execution", exc_info=error)
        logger.exception(f"cell {SECRET}")
    first, second = lines(capsys)
    assert first["error"] == second["error"] == "ValueError"
    assert first["at"][-1].startswith("runtime/test_logs.py:")
    assert first["level"] == "ERROR"


def test_of_a_message_the_sentence_and_the_numbers_are_kept_and_texts_are_not(capsys):
    logger = streamlit_logger()
    logger.warning("Upload %s rejected after %d bytes", SECRET, 12)
    logger.warning(f"put together: {SECRET}")
    first, second = lines(capsys)
    assert (first["event"], first["numbers"]) == ("Upload %s rejected after %d bytes", [12])
    assert second["event"].startswith("test_logs.py:")


def test_our_own_events_have_their_facts_and_of_texts_a_hash(capsys):
    logs.begin()
    logs.note("upload kept", upload=SECRET, n_bytes=63, whole=True, rest=None, wild=float("nan"))
    (line,) = lines(capsys)
    assert (line["event"], line["level"], line["n_bytes"], line["whole"], line["rest"]) == ("upload kept", "INFO", 63, True, None)
    assert line["upload"] == logs.digest(SECRET)
    assert line["time"].endswith("+00:00")


def test_to_begin_again_writes_no_line_twice(capsys):
    logs.begin()
    logs.begin()
    logs.note("once", logging.WARNING)
    assert [line["event"] for line in lines(capsys)] == ["once"]


def test_the_server_tells_its_health(app_url):
    with urllib.request.urlopen(f"{app_url}/_stcore/health", timeout=30) as answer:
        assert (answer.status, answer.read()) == (200, b"ok")
