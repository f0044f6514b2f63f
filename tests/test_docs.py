"""Pages of the documentation say what the code holds."""

import ast

from tests.support.paths import ROOT

CACHES = ("lru_cache", "cache_data", "cache_resource", "cache")
STORES = ("LRUCache", "WeakKeyDictionary")


def _name(node: ast.expr) -> str:
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _caches(tree: ast.Module):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any(_name(one) in CACHES for one in node.decorator_list):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
            if any(_name(value) in STORES for value in values):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                yield from (_name(one) for one in (target.elts if isinstance(target, ast.Tuple) else [target]))


def test_every_cache_stands_in_the_table_of_caches():
    page = (ROOT / "docs/caching.md").read_text("utf-8")
    found = {(path.name, name) for path in (ROOT / "stvlm").rglob("*.py") for name in _caches(ast.parse(path.read_text("utf-8")))}
    assert len(found) > 40
    assert sorted(f"{file}: {name}" for file, name in found if f"`{name}`" not in page) == []
