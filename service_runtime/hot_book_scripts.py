"""The scripts by which the hot book is written and read, each one atomic for its symbol."""

from __future__ import annotations

from typing import Final

# KEYS: stamp passed orders; ARGV: triples of order id, account id, order JSON after
# source partition + source offset. Skipped when there is no stamp, or the matcher has passed it.
ADD_PENDING: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local prefix = ARGV[1]
for i = 2, #ARGV, 5 do
  local passed = redis.call('HGET', KEYS[2], ARGV[i])
  if not passed or tonumber(passed) < tonumber(ARGV[i + 1]) then
    redis.call('HSET', KEYS[3], ARGV[i + 2], ARGV[i + 4])
    redis.call('SADD', prefix .. ARGV[i + 3], ARGV[i + 2])
  end
end
return 1
"""

# One batch of one symbol. ARGV[1] account prefix, ARGV[2] first sequence, ARGV[3] a JSON document, then
# pairs of order id and order JSON. Answers 1 applied, 0 seen before, -1 something between is missing: the
# whole book must be written, -2 another writer is writing the whole book (who dies at it has 10 s).
APPLY: Final = """
local stamp, passed, orders, seen, building = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[9]
local change = cjson.decode(ARGV[3])
local builder = redis.call('GET', building)
if change.begins and builder and not change.takes_over then return -2 end
if change.begins then
  redis.call('UNLINK', stamp, passed, orders, seen, KEYS[5], KEYS[6], KEYS[7], KEYS[8], building)
  redis.call('SET', building, change.building, 'EX', 10)
elseif change.building ~= '' then
  if builder ~= change.building then return -2 end
  redis.call('EXPIRE', building, 10)
else
  local have = redis.call('HGET', stamp, 'sequence')
  if not have then return builder and -2 or -1 end
  have = tonumber(have)
  if change.sequence <= have then return 0 end
  if tonumber(ARGV[2]) > have + 1 then return -1 end
end
local function each(command, key, list, first)
  for i = first, #list, 1000 do
    redis.call(command, key, unpack(list, i, math.min(i + 999, #list)))
  end
end
each('HSET', orders, ARGV, 4)
for i = 1, #change.set do each('SADD', ARGV[1] .. change.set[i][1], change.set[i], 2) end
each('HDEL', orders, change.gone, 1)
for i = 1, #change.left do each('SREM', ARGV[1] .. change.left[i][1], change.left[i], 2) end
for i = 1, #change.levels, 3 do
  local bid = change.levels[i] == 'B'
  local prices, lots = bid and KEYS[5] or KEYS[6], bid and KEYS[7] or KEYS[8]
  local price, quantity = change.levels[i + 1], change.levels[i + 2]
  if quantity == '0' then
    redis.call('ZREM', prices, price)
    redis.call('HDEL', lots, price)
  else
    redis.call('ZADD', prices, price, price)
    redis.call('HSET', lots, price, quantity)
  end
end
each('HSET', seen, change.seen, 1)
each('HSET', passed, change.passed, 1)
if change.building == '' or change.ends then
  each('HSET', stamp, change.stamp, 1)
  redis.call('DEL', building)
end
return 1
"""

# All open orders of one account on one symbol, with the stamp: {stamp fields, order JSON...}
OPEN_ORDERS: Final = """
local sequence = redis.call('HGET', KEYS[1], 'sequence')
if not sequence then return {false} end
local ids = redis.call('SMEMBERS', KEYS[3])
local answer = {sequence}
for i = 1, #ids do
  local order = redis.call('HGET', KEYS[2], ids[i])
  if order then answer[#answer + 1] = order end
end
return answer
"""
