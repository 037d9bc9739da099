-- An open order is also looked for by its client order id: it need not be the newest of that id.
DROP INDEX orders_open;
CREATE INDEX orders_open ON orders (account_id, symbol, client_order_id, order_id) WHERE ended IS NULL;
