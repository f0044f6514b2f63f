"""Ids and names with tricks of Unicode, markup, formulas and paths: they stay text, and what cannot be seen is told."""

from tests.hostile.doors import read, refused, sensors, series


def named(*ids: str) -> dict:
    """A network whose sensor table and readings call the sensors so."""
    table = "sensor_id,lat,lon\n" + "".join(f'"{i}",48,{n}\n' for n, i in enumerate(ids))
    cells = ",".join("1" for _ in ids)
    head = ",".join(f'"{i}"' for i in ids)
    return sensors(table) | series(f"t,{head}\n2020-01-01,{cells}\n2020-01-02,{cells}\n")


def apart(ours: str, theirs: str) -> dict:
    """A sensor that the two files spell differently."""
    return sensors(f"sensor_id,lat,lon\n{ours},48,11\nB,48,12\n") | series(f"t,{theirs},B\n2020-01-01,1,2\n2020-01-02,3,4\n")


read("an accent in two spellings is one sensor", "2 sensors", lambda: apart("Caf\u00e9", "Cafe\u0301"))
read("an invisible sign is left out and told", "invisible", lambda: apart("S1", "S\u200b1"))
read("a byte order mark inside", "invisible", lambda: apart("S1", "\ufeffS1"))
read("a right-to-left override", "invisible", lambda: named("S1", "S\u202e2"))
read("a soft hyphen", "invisible", lambda: named("S1", "S\u00ad2"))
read("letters of another alphabet that look alike", "look alike", lambda: named("ABC", "\u0410BC"))
read("full-width digits that look alike", "look alike", lambda: named("S1", "S\uff11"))
for _sign in "\ufe0f\u034f\u3164\u2800\U000e0100\u180b\u115f\u17b4\u2062\uffa0\U000e0041\U0001d159":
    read(f"an id with the unseen U+{ord(_sign):04X}", "invisible", lambda sign=_sign: named("S1", f"S2{sign}"))
for _twin, _letter in zip("\u04bb\u0501\u04cf\u051d\u051b\u0475\u03b9\u03ba\u03b3\u0570\u13da\ua4d2", "hdIwqvikyhSd", strict=True):
    read(f"an id with U+{ord(_twin):04X} for {_letter}", "look alike", lambda a=_twin, b=_letter: named(f"A{b}1", f"A{a}1"))
refused("two ids that differ by a variation selector", "more than once", lambda: named("S1", "S1\ufe0f"))
refused("two ids that differ by what cannot be seen", "more than once", lambda: named("S1", "S\u200b1"))
refused("two ids that differ by the spelling of an accent", "more than once", lambda: named("Caf\u00e9", "Cafe\u0301"))
refused("an id of invisible signs alone", "the sensor id is missing", lambda: named("S1", "\u200b\u200d"))
refused("an id with a line break in Parquet", "r.csv", lambda: series("t,\u2028\n2020-01-01,1\n2020-01-02,2\n"))
read("a terminal's escape in an id", "invisible", lambda: named("S1", "\x1b[31mS2"))
for _i, _name in enumerate(
    (
        "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "=cmd|' /C calc'!A0", "{{ 7*7 }}", "{% raw %}",
        "../../etc/passwd", "..\\\\..\\\\x", "$(reboot)", "; DROP TABLE sensors", "![x](http://evil.example/a.png)", "%{x}", "${jndi:ldap://x}",
        "CON", "NaN", "null", "true", "1e5", "0", "-0", "007", " \u00a0", "@SUM(1)", "\\\\input{/etc/passwd}",
    )
):  # fmt: skip
    if _name.strip():
        read(f"a sensor called {_name}", "2 sensors", lambda name=_name: named("S1", name))
