-- The last moment before the POST: from here on, a phone may ring. Written before anything is sent.
-- KEYS: 1 attempt, 2 contact, 3 campaign, 4 do-not-call, 5 lines, 6 the campaign's lines, 7 queued, 8 watch,
--       9 the account's pace, 10 the campaign's pace, 11 number, 12 journal, 13 slow, 14 brakes, 15 rung, then caller IDs
--       in the order in which they are to be tried, and then the lines of each
-- ARGV: 1 clock, 2 attempt id, 3 token, 4 lease ms, 5 first look ms, 6 ms between dials (account),
--       7 ms between dials (campaign), 8 contact id, 9 the attempt's number, 10 limits (JSON: purpose and name of the
--       campaign, caps of the number: [attempts, ms], canary, calls_per_day, day, calls_per_caller_id,
--       lines_per_caller_id, cool_down, caller_ids: [number, day, day's end], as KEYS have them; 0 is no
--       limit, a day is the ms of its beginning), then field and value pairs
-- Returns {'dial', the moment of its turn in ms, ms until then, caller ID}, {'wait', ms} if that is not within the second,
-- or {'no', why, when it may be asked again in ms, or 0}: 'gone' (not ours to dial), 'paused', 'do_not_call', 'on_a_call',
-- 'number_limit', 'canary', 'calls_per_day', 'caller_id'.
local attempt_id, token = ARGV[2], ARGV[3]
-- Our own reply was lost, and we ask again.
if redis.call('HGET', KEYS[1], 'token') == token then
  local turn = tonumber(redis.call('HGET', KEYS[1], 'begun_at'))
  return {'dial', turn, math.max(0, turn - now), redis.call('HGET', KEYS[1], 'caller_id')}
end
if redis.call('EXISTS', KEYS[1]) == 1 then return {'no', 'gone', 0} end
local lease = redis.call('ZSCORE', KEYS[7], attempt_id)
if not lease or tonumber(lease) <= now then return {'no', 'gone', 0} end
if redis.call('HGET', KEYS[3], 'state') ~= 'running' then return {'no', 'paused', 0} end
local phone = redis.call('HGET', KEYS[2], 'phone')
local limits = cjson.decode(ARGV[10])
if listed(KEYS[4], phone, limits.purpose, limits.name) then return {'no', 'do_not_call', 0} end
-- The same person may stand in two campaigns: one phone rings once at a time.
local other = redis.call('HGET', KEYS[11], 'attempt')
if other and other ~= attempt_id and redis.call('ZSCORE', KEYS[5], other) then return {'no', 'on_a_call', 0} end
-- One number is rung only so often, whatever the campaigns that have it: counted here, where the attempt is written.
local again_at, longest = 0, 86400000
for _, cap in ipairs(limits.caps) do
  local nth = redis.call('ZREVRANGE', KEYS[15], cap[1] - 1, cap[1] - 1, 'WITHSCORES')
  if nth[2] then again_at = math.max(again_at, tonumber(nth[2]) + cap[2]) end
  longest = math.max(longest, cap[2])
end
if again_at > now then return {'no', 'number_limit', again_at} end
-- Its turn is when both paces allow it: taken now, so that dials that wait leave one by one, and nobody asks twice.
local turn = now
for i = 9, 10 do
  turn = math.max(turn, tonumber(redis.call('GET', KEYS[i]) or '0'))
end
if turn - now > 1000 then return {'wait', turn - now} end
-- The brakes and the caller IDs: worker/brakes.py and worker/caller_ids.py say what for.
local held = redis.call('HMGET', KEYS[14], 'begun', 'approved', 'day', 'today')
local unapproved = limits.canary > 0 and not held[2]
if unapproved and tonumber(held[1] or '0') >= limits.canary then return {'no', 'canary', 0} end
local today = tonumber(held[3]) == limits.day and tonumber(held[4]) or 0
if limits.calls_per_day > 0 and today >= limits.calls_per_day then return {'no', 'calls_per_day', 0} end
-- Who held one of a caller ID's lines and has no line any more is only forgotten here, when room is wanted.
local function has_a_line_free(of)
  local most = limits.lines_per_caller_id
  if most == 0 or redis.call('ZCARD', of) < most then return true end
  for _, holder in ipairs(redis.call('ZRANGE', of, 0, -1)) do
    if not redis.call('ZSCORE', KEYS[5], holder) then redis.call('ZREM', of, holder) end
  end
  return redis.call('ZCARD', of) < most
end
local lease_until = turn + tonumber(ARGV[4])
local from, free_at, caller_id = nil, nil, ''
for k, own in ipairs(limits.caller_ids) do
  local kept = redis.call('HMGET', KEYS[15 + k], 'day', 'today', 'last', 'rest', 'ours')
  local calls = tonumber(kept[1]) == own[2] and tonumber(kept[2]) or 0
  local free = math.max(tonumber(kept[4] or '0'), kept[3] and tonumber(kept[3]) + limits.cool_down or 0)
  if limits.calls_per_caller_id > 0 and calls >= limits.calls_per_caller_id then free = math.max(free, own[3]) end
  if kept[5] == '0' then free = math.max(free, now + 3600000) end
  local its_lines = KEYS[15 + #limits.caller_ids + k]
  if free <= turn and not has_a_line_free(its_lines) then free = turn + 5000 end
  if free <= turn then
    if limits.lines_per_caller_id > 0 then
      redis.call('ZADD', its_lines, lease_until, attempt_id)
      redis.call('PEXPIRE', its_lines, lease_until - now)
    end
    from, caller_id = KEYS[15 + k], own[1]
    redis.call('HSET', from, 'day', own[2], 'today', calls + 1, 'last', turn)
    redis.call('HSET', KEYS[2], 'caller_id', caller_id)
    break
  end
  free_at = math.min(free_at or free, free)
end
if free_at and not from then return {'no', 'caller_id', free_at} end
if unapproved then redis.call('HINCRBY', KEYS[14], 'begun', 1) end
redis.call('HSET', KEYS[14], 'day', limits.day, 'today', today + 1)
for i = 9, 10 do
  local interval = tonumber(ARGV[i - 3]) * slowness(KEYS[13])
  -- Rounded up: a thousand dials must not save up a second.
  redis.call('SET', KEYS[i], math.ceil(turn + interval), 'PX', math.ceil(turn - now + interval) + 1000)
end
redis.call('HSET', KEYS[1], 'token', token, 'contact', ARGV[8], 'begun_at', turn, 'lease_until', lease_until, 'rev', 0,
  'after', other or '', 'caller_id', caller_id, unpack(ARGV, 11))
redis.call('HSET', KEYS[2], 'state', 'live', 'attempt', attempt_id, 'made', ARGV[9])
redis.call('ZADD', KEYS[5], lease_until, attempt_id)
redis.call('ZADD', KEYS[6], lease_until, attempt_id)
redis.call('ZREM', KEYS[7], attempt_id)
redis.call('ZADD', KEYS[8], turn + tonumber(ARGV[5]), attempt_id)
redis.call('ZADD', KEYS[15], turn, attempt_id)
redis.call('ZREMRANGEBYSCORE', KEYS[15], '-inf', now - longest)
redis.call('PEXPIRE', KEYS[15], longest + 1000)
redis.call('HSET', KEYS[11], 'attempt', attempt_id, 'contact', ARGV[8], 'at', turn)
redis.call('RPUSH', KEYS[12], cjson.encode({at = turn, attempt = attempt_id, event = 'dialed'}))
return {'dial', turn, turn - now, caller_id}
