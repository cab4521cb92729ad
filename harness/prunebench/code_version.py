"""The version of a method: a digest of the code that it reaches, without comments and docstrings."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.machinery import all_suffixes
from pathlib import Path
from typing import Any

_Import = tuple[int, str, str]  # level, module and name of `from ..module import name`


def code_digest(targets: Iterable[str], *, cached: bool = True) -> str:
    """Return 16 hexadecimal digits for the code that "module:name" targets reach, each inside its top-level package.

    Followed are the import statements, those inside functions too.  The `__init__` of a package counts only where one
    of its own names is used.  What cannot be parsed, such as a compiled module, counts by its bytes.
    cached: a file whose time of change and size are known has not changed.  Returns "unknown" where no file is found.
    """
    read = _read if cached else _read.__wrapped__
    reached: dict[str, str] = {}
    wanted, seen = [tuple(target.split(":")[:2]) for target in targets], set()
    while wanted:
        module, name = use = wanted.pop()
        file, folders = _locate(module)
        is_submodule = bool(name and folders) and _locate(f"{module}.{name}") != (None, [])
        if use in seen or (file is None and not is_submodule):
            continue
        seen.add(use)
        if is_submodule:
            wanted.append((f"{module}.{name}", ""))
        if file is None or module in reached:
            continue
        state = file.stat()
        digest, own_names, imports = read(file, state.st_mtime_ns, state.st_size)
        if is_submodule and name not in own_names:
            continue
        reached[module] = digest
        parts = module.split(".") + ([""] if folders else [])
        for level, origin, imported in imports:
            absolute = ".".join([*(parts[:-level] if level else []), *([origin] if origin else [])])
            if absolute.partition(".")[0] == parts[0]:
                wanted.append((absolute, imported))
    text = "\n".join(f"{module} {reached[module]}" for module in sorted(reached))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest() if reached else "unknown"


def _locate(module: str) -> tuple[Path | None, list[Path]]:
    """Return the file of a module and the folders of its submodules, without importing a package."""
    top, *parts = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    file = Path(spec.origin) if spec and spec.has_location and spec.origin else None
    folders = [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]
    for part in parts:
        places = [(folder / part / "__init__", [folder / part]) for folder in folders]
        places += [(folder / part, []) for folder in folders]
        files = [(stem.with_name(stem.name + suffix), inside) for stem, inside in places for suffix in all_suffixes()]
        spaces = [folder / part for folder in folders if (folder / part).is_dir()]
        file, folders = next(((path, inside) for path, inside in files if path.is_file()), (None, spaces))
    return file, folders


@lru_cache(maxsize=4096)
def _read(file: Path, mtime_ns: int, size: int) -> tuple[str, frozenset[str], tuple[_Import, ...]]:
    """Return the digest of a file, the names that it gives to things of its own, and what it imports."""
    content, nodes = file.read_bytes(), list[ast.AST]()
    if file.suffix == ".py":
        try:
            tree = ast.parse(content)
            content, nodes = repr(_code(tree)).encode(), list(ast.walk(tree))
        except (SyntaxError, ValueError, RecursionError):  # it counts by its bytes
            nodes = []
    names = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    names |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    names |= {alias.asname or alias.name for node in froms for alias in node.names}
    return hashlib.blake2b(content, digest_size=16).hexdigest(), frozenset(names), tuple(_imports(nodes))


def _imports(nodes: Iterable[ast.AST]) -> Iterator[_Import]:
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            yield from ((node.level, node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((0, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.Attribute):  # after `import a.b` every name of `a` can be used
            value: Any = node.value
            names: list[str] = []
            while isinstance(value, ast.Attribute):
                value, names = value.value, [value.attr, *names]
            if isinstance(value, ast.Name):
                yield 0, ".".join([value.id, *names]), node.attr


def _code(node: Any) -> Any:
    """Return a syntax tree as lists without texts on their own, such as docstrings; the same for every Python."""
    if isinstance(node, ast.AST):
        fields = [(name, _code(value)) for name, value in ast.iter_fields(node) if name not in ("kind", "type_comment")]
        return [type(node).__name__, *(field for field in fields if field[1] not in (None, []))]
    if isinstance(node, list):
        statements = [item.value if isinstance(item, ast.Expr) else None for item in node]
        texts = [isinstance(value, ast.Constant) and isinstance(value.value, str) for value in statements]
        return [_code(item) for item, is_text in zip(node, texts, strict=True) if not is_text]
    return None if node is None else repr(node)
