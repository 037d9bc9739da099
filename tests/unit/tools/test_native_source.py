"""What mypyc is given instead of structs, tried as plain Python."""

from __future__ import annotations

from typing import Any, get_type_hints

import msgspec
import pytest

import matcher.order
import matcher.order_book
from matcher import engine_state
from matcher.order import Conditions, Order
from schemas.orders import OrderType, Side, TimeInForce
from tools.native_source import native


def native_names(module: Any) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": module.__name__, "mypyc_attr": lambda **_: lambda made: made}
    with open(module.__file__, encoding="utf-8") as source:
        exec(compile(native(source.read()), module.__file__, "exec"), names)
    return names


@pytest.fixture(scope="module")
def natives() -> dict[str, Any]:
    return native_names(matcher.order)


TERMS = (7, 3, "a-client-id", Side.SELL, OrderType.LIMIT, TimeInForce.GTC, 101, 5, 5)


def test_native_class_has_the_fields_defaults_and_methods_of_its_struct(natives: dict[str, Any]) -> None:
    for struct in (Order, Conditions):
        hints = get_type_hints(struct, vars(matcher.order) | {"Conditions": natives["Conditions"]})
        assert natives[struct.__name__].field_types == tuple(hints[name] for name in struct.__struct_fields__)
    one, other = natives["Order"](*TERMS), Order(*TERMS)
    assert one.row() == msgspec.structs.astuple(other)
    one.special().hidden_lots = other.special().hidden_lots = 2
    assert (one.shown_lots, one.place, one.list_id) == (other.shown_lots, other.place, other.list_id)
    assert one.moved(99, 4, 3, 8).row()[:15] == msgspec.structs.astuple(other.moved(99, 4, 3, 8))[:15]
    assert natives["age"](one) == matcher.order.age(other)


def test_native_orders_are_written_and_read_as_structs_are(natives: dict[str, Any]) -> None:
    kind, written = natives["Order"], []
    for order in (Order(*TERMS), natives["Order"](*TERMS)):
        order.special().display_lots = 2
        written.append(engine_state._encode(order))
    assert written[0] == written[1]
    read = msgspec.json.Decoder(kind, dec_hook=engine_state._of_row).decode(written[0])
    assert (type(read), type(read.conditions)) == (kind, natives["Conditions"])
    assert engine_state._encode(read) == written[0]
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.Decoder(kind, dec_hook=engine_state._of_row).decode(written[0].replace(b"SELL", b"GIVE"))


def test_constants_become_final_and_nothing_else_changes() -> None:
    source = '"""Doc."""\nfrom __future__ import annotations\n_A, B = 1, f(2)\nC = (1, 2)\nd = 3\n_A.x = 4\n'
    assert native(source).endswith("_A: Final = 1\nB: Final = f(2)\nC: Final = (1, 2)\nd = 3\n_A.x = 4")
    assert native_names(matcher.order_book)["Move"](1, 2, 3).row() == (1, 2, 3, 0)
