"""Several sessions of one server at once, through its own web socket: each sees its own data, and an error would be seen."""

from urllib.parse import urlsplit

from tests.soak.load import through_ones_own, wrong
from tests.soak.visitor import Visitor

PEOPLE = (("Mk0000000a", 1000.0), ("Mk0000000b", 5000.0))  # the word of each session, and the level of its readings


def test_two_sessions_with_networks_of_their_own_see_each_only_theirs(app_url):
    visitors = [Visitor(urlsplit(app_url).netloc) for _ in PEOPLE]
    ways = [through_ones_own(visitor, i, *PEOPLE[i]) for i, visitor in enumerate(visitors)]
    forecasts, n_actions = [], 0
    for steps in zip(*ways, strict=True):  # in turn, action by action
        for person, (kind, action) in zip(PEOPLE, steps, strict=True):
            shown = action()
            assert wrong(shown, kind, *person) == []
            n_actions += 1
            forecasts += [(kind, shown)] if kind == "forecast of one's own" else []
    assert n_actions == 14
    found = {problem for kind, shown in forecasts[:1] for problem in wrong(shown, kind, *PEOPLE[1])}  # as if it were the other's
    assert found == {"forecast of one's own: word of another session", "forecast of one's own: a forecast on another level"}
    for visitor in visitors:
        visitor.close()
