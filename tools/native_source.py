"""Python source made ready for mypyc: what it cannot compile well is written as what it can.

A msgspec struct is any Python object to mypyc, whose fields it looks up by name; so structs become native
classes of the same fields and methods. A constant of a module is looked up in a dict; so constants become
Final. The rest of the source stays as it is.
"""

from __future__ import annotations

import ast

_IMPORTS = """
from typing import TYPE_CHECKING, Any, ClassVar, Final
if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
"""


def native(source: str) -> str:
    """Return the module's source with structs as native classes and constants as Final.

    Native classes compare by identity. They have `field_types` and `row()`, by which msgspec writes and
    reads them as it does array-like structs.
    """
    body: list[ast.stmt] = []
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.ClassDef) and "msgspec.Struct" in map(ast.unparse, statement.bases):
            body.append(_native_class(statement))
        else:
            body += _constants(statement) or [statement]
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            body += ast.parse(_IMPORTS).body
    return ast.unparse(ast.Module(body, []))


def _constants(statement: ast.stmt) -> list[ast.stmt]:
    """Return the assignments of constants, one each and Final; nothing when it is another statement."""
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return []
    target, value = statement.targets[0], statement.value
    names, values = [target], [value]
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        names, values = target.elts, value.elts
    if not all(isinstance(name, ast.Name) and name.id.isupper() for name in names):
        return []
    pairs = zip(names, values, strict=True)
    return ast.parse("\n".join(f"{ast.unparse(n)}: Final = {ast.unparse(v)}" for n, v in pairs)).body


def _native_class(struct: ast.ClassDef) -> ast.ClassDef:
    fields = [part for part in struct.body if isinstance(part, ast.AnnAssign)]
    names = [ast.unparse(field.target) for field in fields]
    types = [ast.unparse(field.annotation) for field in fields]
    parameters = ", ".join(map(ast.unparse, fields))
    made = ast.parse(
        "\n".join(
            [
                "@mypyc_attr(acyclic=True)",
                f"class {struct.name}:",
                f"    field_types: ClassVar[tuple[Any, ...]] = ({', '.join(types)},)",
                f"    def __init__(self, {parameters}) -> None:",
                *[f"        self.{name} = {name}" for name in names],
                "    def row(self) -> tuple[object, ...]:",
                f"        return ({', '.join(f'self.{name}' for name in names)},)",
            ]
        )
    ).body[0]
    assert isinstance(made, ast.ClassDef)
    made.body += [part for part in struct.body if not isinstance(part, (ast.AnnAssign, ast.Expr))]
    return made
