"""Text of strangers stays text wherever it goes: HTML, scripts, markdown, LaTeX, CSV, names of files. One function each, used by all."""

import ast
import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stvlm.core import escape
from stvlm.io.write import table_csv, table_latex, table_markdown
from tests.support.paths import ROOT

SOURCES = [ROOT / "app.py", *sorted(ROOT.glob("pages/*.py")), *sorted(ROOT.glob("stvlm/**/*.py"))]
NASTY = (
    "</script><script>alert(1)</script>",
    '" onload="alert(1)', "' onerror='x", "<img src=x onerror=alert(1)>", "<!--", "]]>", "&lt;b&gt;",
    "=cmd|' /C calc'!A0", "+1", "-1+1", "@SUM(1)", "\t=1", "＝1+1", "\\input{/etc/passwd}", "^^5cinput", "$x$", "100 %",
    "a|b\n|c|", "[5cm]", "*", "![x](http://evil.example/a.png)", "[x](javascript:alert(1))", ":red[x]", ":material/home:", "http://evil.example",
    "`x`", "# x", "1. x", "../../etc/passwd", "..\\..\\x", "CON", ".bashrc", "a\0b", "\u202egpj.exe", "{{ 7 * 7 }}", "%{x}", "",
)  # fmt: skip
texts = st.one_of(st.sampled_from(NASTY), st.text(max_size=30), st.lists(st.sampled_from(NASTY), max_size=3).map("".join))
quick = settings(max_examples=40, deadline=None)


class Seen(HTMLParser):
    """Tags with their attributes, comments, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.comments, self.text = [], [], [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_comment(self, data):
        self.comments.append(data)

    def handle_data(self, data):
        self.text += data


@quick
@given(texts)
def test_html_shows_any_text_and_makes_nothing_of_it(text):
    text = text.replace("\0", "").replace("\r", "")  # which a browser would change in any page
    seen = Seen(f'<p title="{escape.html(text)}">{escape.html(text)}</p>')
    assert (seen.tags, seen.attributes, seen.comments, seen.text) == (["p"], [("title", text)], [], text)


@quick
@given(st.lists(texts, max_size=3))
def test_data_in_a_script_is_the_same_data_and_cannot_end_the_script(data):
    written = escape.script({"names": data})
    assert json.loads(written) == {"names": data}
    assert not set("<>&\u2028\u2029") & set(written)


def test_data_in_a_script_holds_no_number_that_is_none():
    with pytest.raises(ValueError, match="JSON"):
        escape.script([float("nan")])


@quick
@given(texts)
def test_markdown_shows_any_text_and_makes_nothing_of_it(text):
    parser = pytest.importorskip("markdown_it").MarkdownIt("commonmark", {"html": True}).enable(["strikethrough", "table"])
    seen = Seen(parser.render("x" + escape.markdown(text) + "x"))
    assert seen.tags == ["p"]
    shown = re.sub(r"\s", " ", text).replace("\0", "\ufffd")
    assert re.sub(" +", " ", seen.text.strip().replace("\u2060", "")) == re.sub(" +", " ", f"x{shown}x".replace("\u2060", ""))
    assert not re.search(r"(?i)https?://|www\.|@[-\w]", seen.text)  # of which Streamlit makes links, escaped or not
    assert not re.search(r"(?<!\\):[a-z]+[\[/:]|(?<!\\)\$", escape.markdown(text))  # Streamlit's colours, icons and formulas


@quick
@given(texts)
def test_latex_acts_on_nothing_in_a_text(text):
    written = escape.latex(text)
    for known in (r"\textbackslash{}", r"\textasciitilde{}", r"\textasciicircum{}", r"\ldots{}", r"$\times$", "$-$", "{[}", "{*}"):
        written = written.replace(known, "")
    written = re.sub(r"\\[&%$#_{}]", "", written)
    assert not set("\\&%$#_{}~^[*\n") & set(written)


FORMULA = re.compile(r"""[\s"]*[=+\-@＝＋－＠]""")


def cells_of(text: str, end: str) -> list[str]:
    """What a spreadsheet that ends a cell at this sign makes of a CSV; quotes inside a cell are letters."""
    return [cell for row in csv.reader(io.StringIO(text, newline=""), delimiter=end) for cell in row]


@quick
@given(st.lists(texts, min_size=1, max_size=4))
@example(["=1", "'=1", " =1", '"=1"', "\t=1", "\u00a0＝1"])
@example(["a;=cmd|' /C calc'!A0", "x;+1+1", "x;+1+1;", "x\t=1", "x\n=1", "x\r\n@SUM(1)", 'x; "=1"', 'x;""=1', "x;'=1"])
def test_no_cell_of_a_csv_starts_as_a_formula_wherever_cells_end(names):
    text = table_csv(pd.DataFrame({"time": "2024-03-04 00:00:00", "=name;=name": names, "n": 1.5}))
    for end in ",;\t":
        assert [cell for cell in cells_of(text, end) if FORMULA.match(cell)] == []
    assert [escape.read_cell(escape.cell(name)) for name in names] == names


def test_numbers_times_and_texts_without_formulas_stay_what_they_are():
    table = pd.DataFrame(
        {
            "below zero": [-1.5, float("nan")],
            "count": [-1, 2],
            "time": pd.to_datetime(["2024-03-04", None]),
            "mixed": [-1, "-1"],
            "text": ["A-1; B, C 'D'", None],
            "kind": pd.Categorical(["=a", "b"]),
        }
    )
    defused = escape.cells(table)
    same = ["below zero", "count", "time", "text"]
    pd.testing.assert_frame_equal(defused[same], table[same])
    assert defused["mixed"].tolist() == [-1, "'-1"]
    assert defused["kind"].tolist() == ["'=a", "b"]


def test_tables_reach_people_through_one_door_each():
    shown = {
        "dataframe",
        "data_editor",
        "line_chart",
        "bar_chart",
        "area_chart",
        "scatter_chart",
        "altair_chart",
        "vega_lite_chart",
    }
    hashed = {ROOT / "stvlm/core/network.py", ROOT / "stvlm/core/series.py"}
    for path in SOURCES:
        for line, name, call in calls(path):
            last = name.split(".")[-1]
            where = f"{path.relative_to(ROOT)}:{line}"
            assert last not in shown or path.name == "inputs.py", f"{where} {name}: its toolbar saves formulas; use inputs.table"
            written = last == "to_csv" and path not in hashed
            assert not written or path == ROOT / "stvlm/io/write.py", f"{where} {name}: use write.table_csv"


@quick
@given(texts, st.sampled_from(["", ".csv"]))
def test_a_name_of_a_file_is_a_plain_name(text, ending):
    name = escape.file_name(text, ending)
    assert Path(name).name == name == Path("x", name).parts[-1]
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,90}", name)
    assert not re.match(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", name.lower())


@quick
@given(st.lists(texts, min_size=1, max_size=3))
def test_tables_for_papers_keep_their_shape_whatever_stands_in_them(cells):
    table = pd.DataFrame({"Model": cells, "MAE": 1.0})
    assert len(table_latex(table).split("\n")) == len(cells) + 7
    rows = [line for line in table_markdown(table).split("\n") if line]
    assert len(rows) == 2 + len(cells)
    assert all(len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 3 for row in rows)


def calls(path: Path):
    """(line, dotted name, call) of every call in a file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func), node


FORBIDDEN = (
    "eval", "exec", "compile", "os.system", "os.popen", "pd.read_pickle", "pd.read_hdf", "torch.load", "gpd.read_file",
    "geopandas.read_file", "pickle.loads", "pickle.load", "marshal.loads", "yaml.load",
    "yaml.unsafe_load", "fiona.open", "pyogrio.read_dataframe", "__import__",
)  # fmt: skip


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_is_called_that_could_run_what_a_file_holds(path):
    place = path.relative_to(ROOT).as_posix()
    for line, name, call in calls(path):
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert name not in FORBIDDEN, f"{place}:{line} calls {name}"
        assert given.get("shell", "False") == "False", f"{place}:{line} opens a shell"
        assert given.get("trust_remote_code", "False") == "False", f"{place}:{line} trusts code of strangers"
        assert given.get("unsafe_allow_html", "False") == "False", f"{place}:{line} shows HTML of strangers"
        if name.endswith(("np.load", "numpy.load")):
            assert given.get("allow_pickle", "False") == "False", f"{place}:{line} may open a pickle"
        if place.startswith(("stvlm/charts/", "stvlm/ui/")):
            assert name != "html.escape", f"{place}:{line} escapes by itself; stvlm/core/escape.py does"
            assert not (place.startswith("stvlm/charts/") and name == "json.dumps"), f"{place}:{line} writes JSON by itself"
    if place != "stvlm/core/escape.py":
        assert not re.search(r"^(from html import|import html)", path.read_text("utf-8"), re.MULTILINE), (
            f"{place} escapes by itself"
        )
