-- Stops, icebergs, self-trade prevention, order lists, amendments.

ALTER TABLE orders
    ADD COLUMN stop_price_ticks      bigint,
    ADD COLUMN trailing_delta_bips   integer,
    ADD COLUMN display_lots          bigint,
    ADD COLUMN self_trade_prevention text NOT NULL DEFAULT 'NONE',  -- the symbol's default already in place
    ADD COLUMN list_id               bigint,
    -- what became of it (processor, then recorder)
    ADD COLUMN waits_for             text NOT NULL DEFAULT '',      -- triggered, working_order_filled
    ADD COLUMN working_at_ns         bigint,                        -- NULL: since created_at_ns
    ADD COLUMN prevented_lots        bigint NOT NULL DEFAULT 0,
    ADD COLUMN first_quantity_lots   bigint,                        -- before it was first amended
    ADD COLUMN amends                integer NOT NULL DEFAULT 0;
CREATE INDEX orders_of_list ON orders (list_id, order_id) WHERE list_id IS NOT NULL;

-- list_id is a request's place like an order id (its leg is 3). Its legs are the orders with its list_id.
CREATE TABLE order_lists (
    list_id         bigint PRIMARY KEY,
    account_id      bigint NOT NULL,
    symbol          text NOT NULL,
    kind            text NOT NULL,
    client_order_id text NOT NULL,
    created_at_ns   bigint NOT NULL,
    ended           text,                   -- ALL_DONE, REJECTED; NULL while a leg is open (recorder)
    end_reason      text,
    updated_at_ns   bigint NOT NULL
);
CREATE INDEX order_lists_by_account ON order_lists (account_id, list_id);
CREATE INDEX order_lists_by_client_id ON order_lists (account_id, client_order_id, list_id);
CREATE INDEX order_lists_open ON order_lists (account_id, symbol, list_id) WHERE ended IS NULL;

CREATE TABLE prevented_matches (
    symbol               text NOT NULL,
    prevented_match_id   bigint NOT NULL,
    account_id           bigint NOT NULL,
    mode                 text NOT NULL,
    price_ticks          bigint NOT NULL,
    taker_order_id       bigint NOT NULL,
    maker_order_id       bigint NOT NULL,
    taker_prevented_lots bigint NOT NULL,
    maker_prevented_lots bigint NOT NULL,
    at_ns                bigint NOT NULL,
    PRIMARY KEY (symbol, prevented_match_id)
);
CREATE INDEX prevented_matches_by_account ON prevented_matches (account_id, symbol, prevented_match_id);

CREATE TABLE amendments (
    order_id                 bigint NOT NULL,
    sequence                 bigint NOT NULL,   -- of the matched-events record: the execution id
    symbol                   text NOT NULL,
    previous_client_order_id text NOT NULL,
    client_order_id          text NOT NULL,
    quantity_lots            bigint NOT NULL,
    at_ns                    bigint NOT NULL,
    PRIMARY KEY (order_id, sequence)
);
