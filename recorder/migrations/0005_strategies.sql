-- The client's own labels of an order, given back with it.
ALTER TABLE orders
    ADD COLUMN strategy_id   bigint,
    ADD COLUMN strategy_type bigint;
