-- The last moment before the POST: from here on, a phone may ring. Written before anything is sent.
-- KEYS: 1 attempt, 2 contact, 3 campaign, 4 do-not-call, 5 lines, 6 the campaign's lines, 7 queued, 8 watch,
--       9 the account's leavings, 10 the campaign's leavings, 11 number, 12 journal, 13 slow, 14 brakes, 15 rung, then
--       caller IDs in the order in which they are to be tried, and then the lines of each
-- ARGV: 1 clock, 2 attempt id, 3 token, 4 lease ms, 5 first look ms, 6 ms between dials (account),
--       7 ms between dials (campaign), 8 contact id, 9 the attempt's number, 10 limits (JSON: purpose and name of the
--       campaign, caps of the number: [attempts, ms], canary, calls_per_day, day, calls_per_caller_id,
--       lines_per_caller_id, cool_down, caller_ids: [number, day, day's end], as KEYS have them; 0 is no limit, a day is
--       the ms of its beginning), 11 the pace (JSON: turn, the moment that the dial was given (ms); apart, by how much more
--       than the pace says dials are kept apart; longest, the longest wait; late, how much later than planned it may
--       leave), then field and value pairs
-- Returns {'dial', now, when it is to leave (ms), caller ID}; {'wait', now, until when (ms)} if that is farther away than
-- the longest wait: nothing is written; or {'no', why, when it may be asked again in ms, or 0}: 'gone' (not ours to dial),
-- 'paused', 'do_not_call', 'on_a_call', 'number_limit', 'canary', 'calls_per_day', 'caller_id'.
local attempt_id, token = ARGV[2], ARGV[3]
local pace = cjson.decode(ARGV[11])
-- Asked again by who has begun it and sent nothing yet: our reply was lost, or it has missed its moment and needs another.
local again = redis.call('HGET', KEYS[1], 'token') == token
if again then
  local at = tonumber(redis.call('HGET', KEYS[1], 'begun_at'))
  if now - at <= pace.late then return {'dial', now, at, redis.call('HGET', KEYS[1], 'caller_id')} end
elseif redis.call('EXISTS', KEYS[1]) == 1 then
  return {'no', 'gone', 0}
end
local lease = redis.call('ZSCORE', KEYS[7], attempt_id)
if not again and (not lease or tonumber(lease) <= now) then return {'no', 'gone', 0} end
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
if not again and again_at > now then return {'no', 'number_limit', again_at} end
-- It may leave when the N-th last has left so long ago that N a window are kept, whatever held that one up.
local leaves = math.max(now, pace.turn)
local slow = slowness(KEYS[13])
local most, window = {}, {}
for i = 1, 2 do
  local interval = tonumber(ARGV[i + 5])
  -- Of a second; of more, if the pace is less than one a second; of less, rather than remember thousands.
  most[i] = math.min(1000, math.max(1, math.floor(1000 / interval + 0.001)))
  window[i] = most[i] * interval * slow
  redis.call('ZREM', KEYS[i + 8], attempt_id)
  local before = redis.call('ZRANGE', KEYS[i + 8], -most[i], -most[i], 'WITHSCORES')
  if before[2] then leaves = math.max(leaves, before[2] + window[i] + pace.apart) end
  -- And half as far as usual from the last, at least: what was held up together does not leave together.
  local last = redis.call('ZRANGE', KEYS[i + 8], -1, -1, 'WITHSCORES')
  if last[2] then leaves = math.max(leaves, last[2] + interval * slow / 2) end
end
leaves = math.ceil(leaves)
if not again and leaves - now > pace.longest then return {'wait', now, leaves} end
local function leave()
  for i = 1, 2 do
    redis.call('ZADD', KEYS[i + 8], leaves, attempt_id)
    redis.call('ZREMRANGEBYRANK', KEYS[i + 8], 0, -most[i] - 1)
    redis.call('PEXPIRE', KEYS[i + 8], math.ceil(2 * window[i]) + 60000)
  end
end
if again then
  leave()
  redis.call('HSET', KEYS[1], 'begun_at', leaves)
  return {'dial', now, leaves, redis.call('HGET', KEYS[1], 'caller_id')}
end
-- The brakes and the caller IDs: worker/rules/brakes.py and worker/rules/caller_ids.py say what for.
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
local lease_until = leaves + tonumber(ARGV[4])
local from, free_at, caller_id = nil, nil, ''
for k, own in ipairs(limits.caller_ids) do
  local kept = redis.call('HMGET', KEYS[15 + k], 'day', 'today', 'last', 'rest', 'ours')
  local calls = tonumber(kept[1]) == own[2] and tonumber(kept[2]) or 0
  local free = math.max(tonumber(kept[4] or '0'), kept[3] and tonumber(kept[3]) + limits.cool_down or 0)
  if limits.calls_per_caller_id > 0 and calls >= limits.calls_per_caller_id then free = math.max(free, own[3]) end
  if kept[5] == '0' then free = math.max(free, now + 3600000) end
  local its_lines = KEYS[15 + #limits.caller_ids + k]
  if free <= leaves and not has_a_line_free(its_lines) then free = leaves + 5000 end
  if free <= leaves then
    if limits.lines_per_caller_id > 0 then
      redis.call('ZADD', its_lines, lease_until, attempt_id)
      redis.call('PEXPIRE', its_lines, lease_until - now)
    end
    from, caller_id = KEYS[15 + k], own[1]
    redis.call('HSET', from, 'day', own[2], 'today', calls + 1, 'last', leaves)
    redis.call('HSET', KEYS[2], 'caller_id', caller_id)
    break
  end
  free_at = math.min(free_at or free, free)
end
if free_at and not from then return {'no', 'caller_id', free_at} end
if unapproved then redis.call('HINCRBY', KEYS[14], 'begun', 1) end
redis.call('HSET', KEYS[14], 'day', limits.day, 'today', today + 1)
leave()
redis.call('HSET', KEYS[1], 'token', token, 'contact', ARGV[8], 'begun_at', leaves, 'lease_until', lease_until, 'rev', 0,
  'after', other or '', 'caller_id', caller_id, unpack(ARGV, 12))
redis.call('HSET', KEYS[2], 'state', 'live', 'attempt', attempt_id, 'made', ARGV[9])
redis.call('ZADD', KEYS[5], lease_until, attempt_id)
redis.call('ZADD', KEYS[6], lease_until, attempt_id)
redis.call('ZREM', KEYS[7], attempt_id)
redis.call('ZADD', KEYS[8], leaves + tonumber(ARGV[5]), attempt_id)
redis.call('ZADD', KEYS[15], leaves, attempt_id)
redis.call('ZREMRANGEBYSCORE', KEYS[15], '-inf', now - longest)
redis.call('PEXPIRE', KEYS[15], longest + 1000)
redis.call('HSET', KEYS[11], 'attempt', attempt_id, 'contact', ARGV[8], 'at', leaves)
redis.call('RPUSH', KEYS[12], cjson.encode({at = leaves, attempt = attempt_id, event = 'dialed'}))
return {'dial', now, leaves, caller_id}
