"""What the recorder says to Postgres. Set based: every array is a column of `recorder.columns`."""

from __future__ import annotations

SESSION = (
    "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;"
    "SET plan_cache_mode = force_generic_plan; SET jit = off"
)
CREATE_POSITIONS = (
    "INSERT INTO positions (service, topic, partition, next_offset)"
    " SELECT 'recorder', k.topic, k.partition, 0 FROM unnest(%s::text[], %s::int[]) k(topic, partition)"
    " ON CONFLICT DO NOTHING"
)
READ_POSITIONS = "SELECT topic, partition, next_offset FROM positions WHERE service = 'recorder'"
MOVE_POSITIONS = (
    "UPDATE positions p SET next_offset = k.next_offset"
    " FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[])"
    " k(topic, partition, expected, next_offset)"
    " WHERE p.service = 'recorder' AND p.topic = k.topic AND p.partition = k.partition"
    " AND p.next_offset = k.expected"
)
CREATE_SETTLED = "INSERT INTO settled (symbol) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING"
READ_SETTLED = "SELECT symbol, sequence, last_hash, trade_id FROM settled"
MOVE_SETTLED = (
    "UPDATE settled s SET sequence = coalesce(k.sequence, s.sequence),"
    " last_hash = coalesce(k.last_hash, s.last_hash), trade_id = coalesce(k.trade_id, s.trade_id),"
    " last_price_ticks = coalesce(k.price, s.last_price_ticks)"
    " FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::bigint[], %s::bigint[])"
    " k(symbol, sequence, last_hash, trade_id, price) WHERE s.symbol = k.symbol"
)
OPEN_ACCOUNTS = (
    "INSERT INTO accounts (account_id, name, maker_fee_ppm, taker_fee_ppm, opened_at_ns)"
    " SELECT * FROM unnest(%s::bigint[], %s::text[], %s::int[], %s::int[], %s::bigint[])"
    " ON CONFLICT DO NOTHING"
)
KNOWN_ACCOUNTS = "SELECT account_id FROM accounts WHERE account_id = ANY(%s::bigint[])"
OUTSIDE = (
    "SELECT asset, available FROM wallets WHERE account_id = %s AND asset = ANY(%s::text[])"
    " ORDER BY asset FOR UPDATE"
)
INSERT_DEPOSITS = (
    "INSERT INTO deposits (deposit_id, account_id, asset, amount_minor, at_ns)"
    " SELECT * FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::bigint[], %s::bigint[])"
    " ON CONFLICT DO NOTHING RETURNING deposit_id"
)
KNOWN_DEPOSITS = "SELECT deposit_id FROM deposits WHERE deposit_id = ANY(%s::text[])"
CREATE_WALLETS = (
    "INSERT INTO wallets (account_id, asset) SELECT * FROM unnest(%s::bigint[], %s::text[])"
    " ORDER BY 1, 2 ON CONFLICT DO NOTHING"
)
LOCK_WALLETS = (
    "SELECT count(*) FROM (SELECT FROM unnest(%s::bigint[], %s::text[]) k(account_id, asset)"
    " JOIN wallets w USING (account_id, asset) ORDER BY w.account_id, w.asset FOR UPDATE OF w) locked"
)
MOVE_WALLETS = (
    "UPDATE wallets w SET available = w.available + k.available, locked = w.locked + k.locked"
    " FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::bigint[])"
    " k(account_id, asset, available, locked)"
    " WHERE w.account_id = k.account_id AND w.asset = k.asset"
)
# COPY costs Postgres about half of what `INSERT ... SELECT unnest` does (measured: 2.6 to 5 us a row).
COPY_LEDGER = (
    "COPY ledger (source, source_partition, source_offset, leg, account_id, asset, available_delta,"
    " locked_delta, at_ns, symbol, reference) FROM STDIN"
)
COPY_TRADES = (
    "COPY trades (symbol, trade_id, sequence, price_ticks, quantity_lots, quote_minor, taker_side,"
    " buyer_order_id, buyer_account_id, buyer_fee_minor, seller_order_id, seller_account_id,"
    " seller_fee_minor, executed_at_ns) FROM STDIN"
)
MOVE_ORDERS = (
    "UPDATE orders o SET executed_lots = o.executed_lots + k.lots,"
    " executed_quote_minor = o.executed_quote_minor + k.quote, ended = coalesce(k.ended, o.ended),"
    " end_reason = coalesce(k.reason, o.end_reason), updated_at_ns = greatest(o.updated_at_ns, k.at_ns)"
    " FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::bigint[])"
    " k(order_id, lots, quote, ended, reason, at_ns) WHERE o.order_id = k.order_id"
)
# Only orders whose terms changed: held, triggered, amended, prevented.
CHANGE_TERMS = (
    "UPDATE orders o SET client_order_id = coalesce(k.client_order_id, o.client_order_id),"
    " price_ticks = coalesce(k.price_ticks, o.price_ticks),"
    " first_quantity_lots = CASE WHEN k.amends > 0"
    " THEN coalesce(o.first_quantity_lots, k.first_quantity_lots, o.quantity_lots)"
    " ELSE o.first_quantity_lots END, quantity_lots = coalesce(k.quantity_lots, o.quantity_lots),"
    " waits_for = coalesce(k.waits_for, o.waits_for),"
    " working_at_ns = coalesce(k.working_at_ns, o.working_at_ns),"
    " prevented_lots = o.prevented_lots + k.prevented_lots, amends = o.amends + k.amends"
    " FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[],"
    " %s::bigint[], %s::bigint[], %s::int[]) k(order_id, client_order_id, price_ticks, quantity_lots,"
    " first_quantity_lots, waits_for, working_at_ns, prevented_lots, amends) WHERE o.order_id = k.order_id"
)
END_LISTS = (
    "UPDATE order_lists l SET ended = k.ended, end_reason = k.reason, updated_at_ns = k.at_ns"
    " FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::bigint[]) k(list_id, ended, reason, at_ns)"
    " WHERE l.list_id = k.list_id"
)
REJECT_LEGS = (
    "UPDATE orders o SET ended = 'REJECTED', end_reason = k.reason,"
    " updated_at_ns = greatest(o.updated_at_ns, k.at_ns)"
    " FROM unnest(%s::bigint[], %s::text[], %s::bigint[]) k(list_id, reason, at_ns)"
    " WHERE o.list_id = k.list_id"
)
INSERT_PREVENTED = (
    "INSERT INTO prevented_matches (symbol, prevented_match_id, account_id, mode, price_ticks,"
    " taker_order_id, maker_order_id, taker_prevented_lots, maker_prevented_lots, at_ns)"
    " SELECT * FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::text[], %s::bigint[], %s::bigint[],"
    " %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])"
)
INSERT_AMENDMENTS = (
    "INSERT INTO amendments (order_id, sequence, symbol, previous_client_order_id, client_order_id,"
    " quantity_lots, at_ns) SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[],"
    " %s::text[], %s::bigint[], %s::bigint[])"
)
PAYING_THEMSELVES = "SELECT DISTINCT account_id FROM order_lists WHERE kind IN ('OPO', 'OPOCO')"
RESERVATIONS = (
    "SELECT l.source_partition, l.source_offset, l.account_id, l.asset, l.available_delta, l.locked_delta,"
    " l.reference FROM unnest(%s::int[], %s::bigint[]) k(source_partition, source_offset)"
    " JOIN ledger l ON l.source = 'R' AND l.source_partition = k.source_partition"
    " AND l.source_offset = k.source_offset ORDER BY l.source_partition, l.source_offset, l.leg"
)
WALLETS = (
    "SELECT w.account_id, w.asset, w.available, w.locked"
    " FROM unnest(%s::bigint[], %s::text[]) k(account_id, asset) JOIN wallets w USING (account_id, asset)"
)
