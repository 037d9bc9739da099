"""The processor's statements: each reads or writes a whole batch."""

from __future__ import annotations

SESSION = (
    "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;"
    "SET plan_cache_mode = force_generic_plan; SET jit = off"
)
CREATE_POSITIONS = (
    "INSERT INTO positions (service, topic, partition, next_offset)"
    " SELECT 'processor', %s, p, 0 FROM unnest(%s::int[]) p ON CONFLICT DO NOTHING"
)
READ_POSITIONS = (
    "SELECT partition, next_offset, last_batch FROM positions"
    " WHERE service = 'processor' AND topic = %s AND partition = ANY(%s::int[])"
)
LOCK_POSITIONS = (
    "SELECT partition, next_offset FROM positions"
    " WHERE service = 'processor' AND topic = %s AND partition = ANY(%s::int[])"
    " ORDER BY partition FOR UPDATE"
)
MOVE_POSITIONS = (
    "UPDATE positions p SET next_offset = k.next_offset, last_batch = k.batch"
    " FROM unnest(%s::int[], %s::bigint[], %s::bigint[], %b::bytea[])"
    " k(partition, expected, next_offset, batch)"
    " WHERE p.service = 'processor' AND p.topic = %s AND p.partition = k.partition"
    " AND p.next_offset = k.expected"
)
LOCK_WALLETS = (
    "SELECT w.account_id, w.asset, w.available"
    " FROM unnest(%s::bigint[], %s::text[]) k(account_id, asset) JOIN wallets w USING (account_id, asset)"
    " ORDER BY w.account_id, w.asset FOR UPDATE OF w"
)
MOVE_WALLETS = (
    "UPDATE wallets w SET available = w.available - k.amount, locked = w.locked + k.amount"
    " FROM unnest(%s::bigint[], %s::text[], %s::bigint[]) k(account_id, asset, amount)"
    " WHERE w.account_id = k.account_id AND w.asset = k.asset"
)
ACCOUNTS = (
    "SELECT a.account_id, a.status = 'ACTIVE', a.maker_fee_ppm, a.taker_fee_ppm"
    " FROM unnest(%s::bigint[]) k(account_id) JOIN accounts a USING (account_id)"
)
ORDER_COLUMNS = (
    "o.order_id, o.account_id, o.symbol, o.client_order_id, o.side, o.order_type, o.time_in_force,"
    " o.price_ticks, o.quantity_lots, o.quote_budget_minor, o.created_at_ns, o.ended IS NULL,"
    " o.stop_price_ticks, o.trailing_delta_bips, o.display_lots, o.executed_lots + o.prevented_lots, o.amends"
)
# Of each client order id the open orders (there may be one that is not the newest: what was to replace it
# was refused) and the newest order.
NAMED_ORDERS = (
    f"SELECT {ORDER_COLUMNS} FROM unnest(%s::bigint[], %s::text[], %s::text[]) k(account_id, symbol, id)"
    " CROSS JOIN LATERAL ((SELECT * FROM orders o WHERE o.account_id = k.account_id AND o.symbol = k.symbol"
    " AND o.client_order_id = k.id AND o.ended IS NULL) UNION ALL (SELECT * FROM (SELECT * FROM orders o"
    " WHERE o.account_id = k.account_id AND o.symbol = k.symbol AND o.client_order_id = k.id"
    " ORDER BY o.order_id DESC LIMIT 1) newest WHERE ended IS NOT NULL)) o"
)
ORDERS_BY_ID = f"SELECT {ORDER_COLUMNS} FROM unnest(%s::bigint[]) k(order_id) JOIN orders o USING (order_id)"
LAST_PRICES = (
    "SELECT symbol, last_price_ticks FROM settled"
    " WHERE symbol = ANY(%s::text[]) AND last_price_ticks IS NOT NULL"
)
OPEN_COUNTS = (
    "SELECT k.account_id, k.symbol, (SELECT count(*) FROM orders o WHERE o.account_id = k.account_id"
    " AND o.symbol = k.symbol AND o.ended IS NULL)"
    " FROM unnest(%s::bigint[], %s::text[]) k(account_id, symbol)"
)
KIND_COUNTS = (
    "SELECT k.account_id, k.symbol, k.kind, CASE k.kind WHEN 'order_lists' THEN (SELECT count(*)"
    " FROM order_lists l WHERE l.account_id = k.account_id AND k.symbol IN ('', l.symbol)"
    " AND l.ended IS NULL) ELSE (SELECT count(*) FROM orders o WHERE o.account_id = k.account_id"
    " AND k.symbol IN ('', o.symbol) AND o.ended IS NULL AND CASE k.kind WHEN 'orders' THEN true"
    " WHEN 'iceberg_orders' THEN o.display_lots IS NOT NULL ELSE o.waits_for <> ''"
    " AND (o.stop_price_ticks IS NOT NULL OR o.trailing_delta_bips IS NOT NULL) END)"
    " END FROM unnest(%s::bigint[], %s::text[], %s::text[]) k(account_id, symbol, kind)"
)
# What an account has of the base asset, and what its open BUY orders may bring: of a list the first leg
# (unless it is one of an OCO pair) and the larger of the others. A market order by budget brings at least
# what the budget buys at its collar.
POSITIONS = (
    "SELECT k.account_id, k.symbol, coalesce((SELECT w.available + w.locked FROM wallets w"
    " WHERE w.account_id = k.account_id AND w.asset = k.asset), 0) + k.lot_minor * coalesce((SELECT sum(lots)"
    " FROM (SELECT max(coalesce(o.quantity_lots, o.quote_budget_minor / (o.price_ticks * k.tick_lot_minor))"
    " - o.executed_lots - o.prevented_lots) AS lots FROM orders o LEFT JOIN order_lists l USING (list_id)"
    " WHERE o.account_id = k.account_id AND o.symbol = k.symbol AND o.ended IS NULL AND o.side = 'BUY'"
    " GROUP BY coalesce(o.list_id, -o.order_id),"
    " coalesce(l.kind <> 'OCO' AND o.list_id - o.order_id = 768, false)) each), 0)::bigint"
    " FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::bigint[])"
    " k(account_id, symbol, asset, lot_minor, tick_lot_minor)"
)
LIST_COLUMNS = "l.list_id, l.account_id, l.symbol, l.client_order_id, l.created_at_ns, l.ended IS NULL"
LISTS_BY_ID = f"SELECT {LIST_COLUMNS} FROM unnest(%s::bigint[]) k(list_id) JOIN order_lists l USING (list_id)"
NEWEST_LISTS = (
    f"SELECT {LIST_COLUMNS} FROM unnest(%s::bigint[], %s::text[]) k(account_id, id)"
    " CROSS JOIN LATERAL (SELECT * FROM order_lists l WHERE l.account_id = k.account_id"
    " AND l.client_order_id = k.id ORDER BY l.list_id DESC LIMIT 1) l"
)
# One pass over the accepted orders: the order row, and the reservation's ledger row.
INSERT_ORDERS = (
    "WITH k AS MATERIALIZED (SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[],"
    " %s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],"
    " %s::text[], %s::int[], %s::int[], %s::bigint[], %s::text[], %s::bigint[], %s::int[], %s::bigint[],"
    " %s::bigint[], %s::text[], %s::bigint[], %s::int[], %s::bigint[], %s::bigint[]) k(order_id, account_id,"
    " symbol, client_order_id, side, order_type, time_in_force, price_ticks, quantity_lots,"
    " quote_budget_minor, reserved_minor, asset, maker_fee_ppm, taker_fee_ppm, at_ns, self_trade_prevention,"
    " stop_price_ticks, trailing_delta_bips, display_lots, list_id, waits_for, locked_minor, leg,"
    " strategy_id, strategy_type)), o AS (INSERT INTO orders (order_id, account_id, symbol, client_order_id,"
    " side, order_type, time_in_force, price_ticks, quantity_lots, quote_budget_minor, reserved_minor,"
    " maker_fee_ppm, taker_fee_ppm, created_at_ns, updated_at_ns, stop_price_ticks, trailing_delta_bips,"
    " display_lots, self_trade_prevention, list_id, waits_for, strategy_id, strategy_type) SELECT order_id,"
    " account_id, symbol, client_order_id, side, order_type, time_in_force, price_ticks, quantity_lots,"
    " quote_budget_minor, reserved_minor, maker_fee_ppm, taker_fee_ppm, at_ns, at_ns, stop_price_ticks,"
    " trailing_delta_bips, display_lots, self_trade_prevention, list_id, waits_for, strategy_id,"
    " strategy_type FROM k) INSERT INTO ledger (source, source_partition, source_offset, leg, account_id,"
    " asset, available_delta, locked_delta, at_ns, symbol, reference) SELECT 'R', (order_id - 1) %% 256,"
    " (order_id - 1) / 1024, leg, account_id, asset, -locked_minor, locked_minor, at_ns, symbol, order_id"
    " FROM k WHERE locked_minor > 0"
)
INSERT_LISTS = (
    "INSERT INTO order_lists (list_id, account_id, symbol, kind, client_order_id, created_at_ns,"
    " updated_at_ns) SELECT k.*, k.at_ns FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[],"
    " %s::text[], %s::bigint[]) k(list_id, account_id, symbol, kind, client_order_id, at_ns)"
)
INSERT_REJECTIONS = (
    "INSERT INTO rejections (source_partition, source_offset, account_id, symbol, client_order_id, reason,"
    " at_ns) SELECT * FROM unnest(%s::int[], %s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::text[],"
    " %s::bigint[])"
)
