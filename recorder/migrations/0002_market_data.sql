-- How far the `candles` topic is in table candles. Moved in the transaction of the candles themselves.
CREATE TABLE candle_positions (
    partition   integer PRIMARY KEY,
    next_offset bigint NOT NULL
) WITH (fillfactor = 50);
