"""The Faust worker: candles of every interval and 24 h tickers, from trade bars."""
