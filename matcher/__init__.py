"""Matcher: one book per symbol, price-time priority.

A library without Kafka (`from matcher import OrderBook, SymbolEngine`), and the service that runs it:
reads validated-orders; writes matched-events, trade-execution, order-replies, book-snapshots.
"""

from matcher.order import Order
from matcher.order_book import Entry, Move, OrderBook
from matcher.symbol_engine import Input, Matched, SymbolEngine

__all__ = ["Entry", "Input", "Matched", "Move", "Order", "OrderBook", "SymbolEngine"]
