"""Names that look alike are told by Unicode's table, and names of people are left alone."""

import unicodedata

import pytest

from stvlm.io.text import look_alike, skeleton, tidy


@pytest.mark.parametrize(
    ("name", "other"), [("S1", "Sl"), ("O1", "01"), ("Barn", "Bam"), ("a1", "A1"), ("Süd I", "Süd 1"), ("ä1", "Ä1")]
)
def test_names_that_differ_in_ascii_or_in_case_alone_are_no_pair(name, other):
    assert look_alike((name, other)) == ()


@pytest.mark.parametrize(("name", "other"), [("Ä1", "A1"), ("é1", "è1"), ("北", "南"), ("Ωa", "Oa")])
def test_letters_that_the_eye_tells_apart_are_no_pair(name, other):
    assert look_alike((name, other)) == ()


@pytest.mark.parametrize(
    ("name", "other"),
    [("A-1", "A\u20131"), ("m1", "rn\u0661"), ("paypal", "p\u0430yp\u0430l"), ("AB", "\uff21B"), ("k1", "\u03ba1")],
)
def test_a_pair_is_told_once_in_the_order_of_the_names(name, other):
    assert look_alike((name, other)) == ((name, other),)
    assert look_alike((other, name)) == ((other, name),)


def test_a_skeleton_is_the_one_of_uts_39():
    assert skeleton("\u0440\u0430\u0443\u0440\u0430l1") == skeleton("paypall") == "paypall"
    assert skeleton("m") == "rn"


def test_tidy_leaves_out_all_that_is_not_seen_and_nothing_else():
    seen = "Zürich 北 नमस्ते Ελλάδα"
    assert tidy(seen) == unicodedata.normalize("NFC", seen)
    assert tidy("S\u00ad1\u3164 \u2800") == "S1"
