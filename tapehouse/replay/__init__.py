"""`tapehouse replay TOPIC`: a topic as JSON lines, CSV or Parquet, for analysts.

Which records. `--from` and `--to` (the first is in, the second is out) take an offset (`1200`, of every
partition), an offset of one partition (`2:1200`, may be repeated), an ISO 8601 time (UTC unless it says
otherwise) or Unix milliseconds (any integer from 100,000,000,000 on); times are the broker's. What is
written after the replay began is left out.

Order. Within a partition by offset; across partitions by the broker's time, then partition.

Duplicates, which a take-over of the matcher writes, are dropped by sequence. A replay from the start of
the log also checks it: a gap or a broken hash chain stops with exit code 1. Records that are no message
of the topic are counted, shown and skipped.

Columns. First `partition`, `offset`, `timestamp_ms` (when the broker got it) and `type`; then the fields
of the topic's messages, in the order of the structs in `schemas`. A field that another type of the topic
has is empty (in JSON lines: absent). Nested events and levels are JSON: a list in JSON lines, JSON text in
CSV and Parquet. Parquet has int64, string, bool and UTC timestamp columns; sums of quote amounts, which
may pass 63 bits, are decimal(38, 0).

Numbers. `--integers` (default): as in the log (`price_ticks`, `quantity_lots`, `quote_minor`).
`--decimals`: `price`, `quantity`, `quote` with 8 decimals, through the instrument's tick and lot and the
asset's scale: text in JSON lines and CSV, decimal(38, 8) in Parquet, which is as exact.
"""
