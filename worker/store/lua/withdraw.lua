-- A waiting contact is not rung after all: it is on the do-not-call list now, or its campaign was stopped.
-- KEYS: 1 contact, 2 due, 3 the set of its new state, 4 counts, 5 journal, 6 sheets
-- ARGV: 1 clock, 2 contact id, 3 the waiting attempt's id, 4 state, 5 disposition, 6 reason
if redis.call('ZREM', KEYS[2], ARGV[3]) == 0 then return 0 end
unfold(KEYS[1], KEYS[6])
redis.call('HSET', KEYS[1], 'state', ARGV[4], 'disposition', ARGV[5], 'reason', ARGV[6])
redis.call('HDEL', KEYS[1], 'postponed')
redis.call('ZADD', KEYS[3], now, ARGV[2])
redis.call('HINCRBY', KEYS[4], ARGV[5], 1)
redis.call('RPUSH', KEYS[5], cjson.encode({at = now, attempt = ARGV[3], event = 'withdrawn', rule = ARGV[5], reason = ARGV[6]}))
return 1
