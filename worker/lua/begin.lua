-- The last moment before the POST: from here on, a phone may ring. Written before anything is sent.
-- KEYS: 1 attempt, 2 contact, 3 campaign, 4 do-not-call, 5 lines, 6 the campaign's lines, 7 queued, 8 watch,
--       9 the account's pace, 10 the campaign's pace, 11 number, 12 journal, 13 slow
-- ARGV: 1 clock, 2 attempt id, 3 token, 4 lease ms, 5 first look ms, 6 ms between dials (account),
--       7 ms between dials (campaign), 8 contact id, 9 the attempt's number, then field and value pairs
-- Returns {'dial', the moment of its turn in ms, ms until then}, {'wait', ms} if that is not within the second, or {'no', why}: 'gone' (not ours to dial), 'paused', 'do_not_call', 'on_a_call'.
local attempt_id, token = ARGV[2], ARGV[3]
-- Our own reply was lost, and we ask again.
if redis.call('HGET', KEYS[1], 'token') == token then
  local turn = tonumber(redis.call('HGET', KEYS[1], 'begun_at'))
  return {'dial', turn, math.max(0, turn - now)}
end
if redis.call('EXISTS', KEYS[1]) == 1 then return {'no', 'gone'} end
local lease = redis.call('ZSCORE', KEYS[7], attempt_id)
if not lease or tonumber(lease) <= now then return {'no', 'gone'} end
if redis.call('HGET', KEYS[3], 'state') ~= 'running' then return {'no', 'paused'} end
local phone = redis.call('HGET', KEYS[2], 'phone')
if redis.call('HEXISTS', KEYS[4], phone) == 1 then return {'no', 'do_not_call'} end
-- The same person may stand in two campaigns: one phone rings once at a time.
local other = redis.call('HGET', KEYS[11], 'attempt')
if other and other ~= attempt_id and redis.call('ZSCORE', KEYS[5], other) then return {'no', 'on_a_call'} end
-- Its turn is when both paces allow it: taken now, so that dials that wait leave one by one, and nobody asks twice.
local turn = now
for i = 9, 10 do
  turn = math.max(turn, tonumber(redis.call('GET', KEYS[i]) or '0'))
end
if turn - now > 1000 then return {'wait', turn - now} end
for i = 9, 10 do
  local interval = tonumber(ARGV[i - 3]) * slowness(KEYS[13])
  -- Rounded up: a thousand dials must not save up a second.
  redis.call('SET', KEYS[i], math.ceil(turn + interval), 'PX', math.ceil(turn - now + interval) + 1000)
end
local lease_until = turn + tonumber(ARGV[4])
redis.call('HSET', KEYS[1], 'token', token, 'contact', ARGV[8], 'begun_at', turn, 'lease_until', lease_until, 'rev', 0,
  'after', other or '', unpack(ARGV, 10))
redis.call('HSET', KEYS[2], 'state', 'live', 'attempt', attempt_id, 'made', ARGV[9])
redis.call('ZADD', KEYS[5], lease_until, attempt_id)
redis.call('ZADD', KEYS[6], lease_until, attempt_id)
redis.call('ZREM', KEYS[7], attempt_id)
redis.call('ZADD', KEYS[8], turn + tonumber(ARGV[5]), attempt_id)
redis.call('HSET', KEYS[11], 'attempt', attempt_id, 'contact', ARGV[8], 'at', turn)
redis.call('RPUSH', KEYS[12], cjson.encode({at = turn, attempt = attempt_id, event = 'dialed'}))
return {'dial', turn, turn - now}
