from __future__ import annotations

from service_runtime.sql_arrays import ints, texts


def test_literals_are_those_of_postgres() -> None:
    assert ints([1, -2, None]) == "{1,-2,NULL}"
    assert ints([]) == "{}"
    assert texts(["a", None, 'q"\\', "NULL", "", "{,}"]) == r'{"a",NULL,"q\"\\","NULL","","{,}"}'
