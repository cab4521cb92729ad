"""The version of a method: a digest of the code that it reaches, without comments and docstrings."""

import ast
import contextlib
import hashlib
import importlib.util
from collections.abc import Iterable
from functools import cache, lru_cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

_Import = tuple[int, str, str]  # level, module and name of `from ..module import name`
_State = tuple[int, int]  # time of change and size of a file or folder
_found: dict[tuple[str, ...], tuple[str, dict[Path, _State]]] = {}  # with all that was looked at


def code_digest(targets: Iterable[str]) -> str:
    """Return 16 hexadecimal digits for the code that "module:name" targets reach, each inside its top-level package.
    Followed are the import statements, those inside functions too.  The `__init__` of a package counts only where one
    of its own names is used.  What cannot be parsed, such as a compiled module, counts by its bytes.  A file whose time
    of change and size are known has not changed, nor a folder.  Returns "unknown" where no file is found."""
    wanted = tuple(targets)
    packages = sorted({target.partition(":")[0].partition(".")[0] for target in wanted})
    place = (*wanted, *(str(locate(name)) for name in packages))  # the search path may be another one now
    digest, looked_at = _found.get(place, ("", {}))
    with contextlib.suppress(OSError):
        if digest and all(_state(path) == state for path, state in looked_at.items()):
            return digest
    _found[place] = _digest(wanted)
    return _found[place][0]


def _state(path: Path) -> _State:
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def _digest(targets: Iterable[str]) -> tuple[str, dict[Path, _State]]:
    """Return the digest of code, and the files and folders that it follows from, as they were before they were read."""
    find = cache(locate)
    reached, looked_at = dict[str, str](), dict[Path, _State]()
    wanted, seen = [tuple(target.split(":")[:2]) for target in targets], set()
    while wanted:
        module, name = use = wanted.pop()
        if use in seen:
            continue
        seen.add(use)
        file, folders = find(module)
        for path in (*folders, *([file, file.parent] if file else [])):
            looked_at.setdefault(path, _state(path))
        if is_submodule := bool(name and folders) and find(f"{module}.{name}") != (None, []):
            wanted.append((f"{module}.{name}", ""))
        if file is None or module in reached:
            continue
        digest, own_names, imports = _read(file, *looked_at[file])
        if is_submodule and name not in own_names:
            continue
        reached[module] = digest
        parts = module.split(".") + ([""] if folders else [])
        for level, origin, imported in imports:
            absolute = ".".join([*(parts[:-level] if level else []), *([origin] if origin else [])])
            if absolute.partition(".")[0] == parts[0]:
                wanted.append((absolute, imported))
    text = "\n".join(f"{module} {reached[module]}" for module in sorted(reached))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest() if reached else "unknown", looked_at


def locate(module: str) -> tuple[Path | None, list[Path]]:
    """Return the file of a module and the folders of its submodules, without importing a package."""
    top, *parts = module.split(".")
    spec = None
    with contextlib.suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(top)
    for part in parts:
        spec = PathFinder.find_spec(part, spec.submodule_search_locations or []) if spec else None
    file = Path(spec.origin) if spec and spec.has_location and spec.origin else None
    return file, [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]


@lru_cache(maxsize=4096)
def _read(file: Path, mtime_ns: int, size: int) -> tuple[str, frozenset[str], tuple[_Import, ...]]:
    """Return the digest of a file, the names that it gives to things of its own, and what it imports."""
    content, nodes = file.read_bytes(), list[Any]()
    if file.suffix == ".py":
        with contextlib.suppress(SyntaxError, ValueError, RecursionError):  # it counts by its bytes
            tree = ast.parse(content)
            content, nodes = repr(_code(tree)).encode(), list(ast.walk(tree))
    names, imports = set[str](), list[_Import]()
    for node in nodes:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Name(ctx=ast.Store()):
                names.add(node.id)
            case ast.ImportFrom():
                names |= {alias.asname or alias.name for alias in node.names if node.module}
                imports += [(node.level, node.module or "", alias.name) for alias in node.names]
            case ast.Import():
                imports += [(0, alias.name, "") for alias in node.names]
            case ast.Attribute() if origin := _dotted(node.value):  # after `import a.b` every name of `a` can be used
                imports.append((0, origin, node.attr))
    return hashlib.blake2b(content, digest_size=16).hexdigest(), frozenset(names), tuple(imports)


def _dotted(node: Any) -> str:
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value)
        return before and f"{before}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _code(node: Any) -> Any:
    """Return a syntax tree as lists without texts on their own, such as docstrings; the same for every Python."""
    if isinstance(node, ast.AST):
        fields = [(name, _code(value)) for name, value in ast.iter_fields(node) if name not in ("kind", "type_comment")]
        return [type(node).__name__, *(field for field in fields if field[1] not in (None, []))]
    if isinstance(node, list):
        return [_code(item) for item in node if not _is_text(item)]
    return None if node is None else repr(node)


def _is_text(node: Any) -> bool:
    value = node.value if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)
