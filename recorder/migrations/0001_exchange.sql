-- The exchange's tables. Money is in minor units of the asset, prices in ticks, quantities in lots
-- (instruments.yaml). Only three writers: processor (orders, rejections, wallets: reservations),
-- recorder (everything that happened), ingest's operator side (accounts' keys).

CREATE TABLE accounts (
    account_id    bigint PRIMARY KEY,
    name          text NOT NULL,
    status        text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'DISABLED')),
    maker_fee_ppm integer NOT NULL CHECK (maker_fee_ppm BETWEEN 0 AND 1000000),
    taker_fee_ppm integer NOT NULL CHECK (taker_fee_ppm BETWEEN 0 AND 1000000),
    opened_at_ns  bigint NOT NULL
);
CREATE SEQUENCE account_ids START 1001;

-- System accounts: money outside, and the exchange's fees. Their balances mirror the clients'.
INSERT INTO accounts VALUES (1, 'outside', 'DISABLED', 0, 0, 0), (2, 'fees', 'DISABLED', 0, 0, 0);

CREATE TABLE api_keys (
    api_key       text PRIMARY KEY,
    account_id    bigint NOT NULL REFERENCES accounts,
    label         text NOT NULL DEFAULT '',
    kind          text NOT NULL CHECK (kind IN ('HMAC', 'ED25519', 'RSA')),
    secret        bytea NOT NULL,           -- HMAC: AES-GCM sealed secret; else the public key (PEM)
    can_read      boolean NOT NULL DEFAULT true,
    can_trade     boolean NOT NULL DEFAULT true,
    created_at_ns bigint NOT NULL,
    expires_at_ns bigint,
    revoked_at_ns bigint,
    changed_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX api_keys_changed ON api_keys (changed_at);

-- One row an account and asset. System account 1 (outside) goes below zero, nobody else can.
CREATE TABLE wallets (
    account_id bigint NOT NULL,
    asset      text NOT NULL,
    available  bigint NOT NULL DEFAULT 0 CHECK (available >= 0 OR account_id = 1),
    locked     bigint NOT NULL DEFAULT 0 CHECK (locked >= 0),
    PRIMARY KEY (account_id, asset)
) WITH (fillfactor = 70);

-- Every change of a wallet. Rows of one source record sum to zero per asset, available and locked
-- together. source: 'R' order-requests (reservation), 'M' matched-events (release), 'T' trade-execution
-- (settlement), 'A' account-events (deposit). wallet row = sum of its ledger rows, always.
CREATE TABLE ledger (
    source           "char" NOT NULL,
    source_partition integer NOT NULL,
    source_offset    bigint NOT NULL,
    leg              smallint NOT NULL,
    account_id       bigint NOT NULL,
    asset            text NOT NULL,
    available_delta  bigint NOT NULL,
    locked_delta     bigint NOT NULL,
    at_ns            bigint NOT NULL,
    symbol           text,
    reference        bigint,                -- order id (R, M) or trade id (T)
    PRIMARY KEY (source, source_partition, source_offset, leg)
);

CREATE TABLE orders (
    order_id           bigint PRIMARY KEY,
    account_id         bigint NOT NULL,
    symbol             text NOT NULL,
    client_order_id    text NOT NULL,
    side               text NOT NULL,
    order_type         text NOT NULL,
    time_in_force      text NOT NULL,
    price_ticks        bigint NOT NULL,     -- the limit, or a market order's collar
    quantity_lots      bigint,              -- NULL: market order by quote budget
    quote_budget_minor bigint,
    reserved_minor     bigint NOT NULL,     -- quote for BUY, base for SELL
    maker_fee_ppm      integer NOT NULL,
    taker_fee_ppm      integer NOT NULL,
    created_at_ns      bigint NOT NULL,
    -- what became of it (recorder)
    executed_lots        bigint NOT NULL DEFAULT 0,
    executed_quote_minor bigint NOT NULL DEFAULT 0,
    ended              text,                -- FILLED, CANCELED, EXPIRED, REJECTED; NULL while open
    end_reason         text,
    updated_at_ns      bigint NOT NULL
) WITH (fillfactor = 80);
-- order_id = request offset * 1024 + partition + 1, so it is also the request's place in order-requests.
CREATE INDEX orders_by_account ON orders (account_id, symbol, order_id);
-- The newest order of a client order id: retries, cancels and queries by it, of ended orders too.
CREATE INDEX orders_by_client_id ON orders (account_id, symbol, client_order_id, order_id);
-- Open orders when the hot book is away.
CREATE INDEX orders_open ON orders (account_id, symbol, order_id) WHERE ended IS NULL;

-- Requests the processor refused, by their place in order-requests.
CREATE TABLE rejections (
    source_partition integer NOT NULL,
    source_offset    bigint NOT NULL,
    account_id       bigint NOT NULL,
    symbol           text NOT NULL,
    client_order_id  text NOT NULL,
    reason           text NOT NULL,
    at_ns            bigint NOT NULL,
    PRIMARY KEY (source_partition, source_offset)
);

CREATE TABLE trades (
    symbol            text NOT NULL,
    trade_id          bigint NOT NULL,
    sequence          bigint NOT NULL,
    price_ticks       bigint NOT NULL,
    quantity_lots     bigint NOT NULL,
    quote_minor       bigint NOT NULL,
    taker_side        text NOT NULL,
    buyer_order_id    bigint NOT NULL,
    buyer_account_id  bigint NOT NULL,
    buyer_fee_minor   bigint NOT NULL,
    seller_order_id   bigint NOT NULL,
    seller_account_id bigint NOT NULL,
    seller_fee_minor  bigint NOT NULL,
    executed_at_ns    bigint NOT NULL,
    PRIMARY KEY (symbol, trade_id)
);
CREATE INDEX trades_by_buyer ON trades (buyer_account_id, symbol, trade_id);
CREATE INDEX trades_by_seller ON trades (seller_account_id, symbol, trade_id);

CREATE TABLE deposits (
    deposit_id   text PRIMARY KEY,
    account_id   bigint NOT NULL,
    asset        text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    at_ns        bigint NOT NULL
);

-- Positions, moved by compare-and-set in the transaction of their effects: the fence and the truth.
CREATE TABLE positions (
    service     text NOT NULL,              -- 'processor' or 'recorder'
    topic       text NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint NOT NULL,
    last_batch  bytea,                      -- processor: what its last batch emits, until the next one
    PRIMARY KEY (service, topic, partition)
) WITH (fillfactor = 50);
-- Rewritten by every batch: compressing it would cost more than writing it.
ALTER TABLE positions ALTER COLUMN last_batch SET STORAGE EXTERNAL;

-- How far each symbol is settled: readers wait for it, readers' sequence checks start from it.
CREATE TABLE settled (
    symbol           text PRIMARY KEY,
    sequence         bigint NOT NULL DEFAULT 0,   -- of matched-events
    last_hash        text NOT NULL DEFAULT '00000000000000000000000000000000',
    trade_id         bigint NOT NULL DEFAULT 0,   -- of trade-execution
    last_price_ticks bigint                        -- of the last trade
) WITH (fillfactor = 50);

CREATE TABLE candles (
    symbol                text NOT NULL,
    interval              text NOT NULL,
    open_time_ms          bigint NOT NULL,
    close_time_ms         bigint NOT NULL,
    open_ticks            bigint NOT NULL,
    high_ticks            bigint NOT NULL,
    low_ticks             bigint NOT NULL,
    close_ticks           bigint NOT NULL,
    volume_lots           bigint NOT NULL,
    quote_minor           numeric(38) NOT NULL,
    taker_buy_lots        bigint NOT NULL,
    taker_buy_quote_minor numeric(38) NOT NULL,
    trade_count           bigint NOT NULL,
    first_trade_id        bigint NOT NULL,
    last_trade_id         bigint NOT NULL,
    PRIMARY KEY (symbol, interval, open_time_ms)
);
