-- Begin an attempt, just before its POST: from here on, a phone may ring. All of it is written before anything is
-- sent.
-- limits_json: name and purpose of the campaign, caps of the number ({attempts, period}), canary, calls_per_day, day
-- (the ms of its beginning), calls_per_caller_id, lines_per_caller_id, cool_down. A limit of 0 is none.
-- record_json: fields and values that are kept with the attempt. The caller IDs come in the order in which they are
-- tried.
-- Returns {'dial', now, when it leaves, caller ID}; {'wait', now, when to ask again} if its departure is farther away
-- than an attempt may wait, and then nothing is written; or {'no', rule, when the rule may allow it, or 0 if that is
-- not known}.
local attempt, contact, campaign, do_not_call, lines, campaign_lines, queued, watch, left, campaign_left, number,
  journal, slow, brakes, rung = unpack(KEYS, 1, 15)
local next_keys = rest(KEYS, 15, 2)
local attempt_id, token, contact_id, attempt_number, lease_ms, first_look_ms, interval_ms, campaign_interval_ms,
  departure_ms, limits_json, record_json = unpack(ARGV, 2, 12)
local next_args = rest(ARGV, 12, 3)

-- The same worker asks again: our reply was lost, or it has missed its departure and needs another.
local again = redis.call('HGET', attempt, 'token') == token
if again then
  local at = tonumber(redis.call('HGET', attempt, 'begun_at'))
  if now - at <= LATE_MS then return {'dial', now, at, redis.call('HGET', attempt, 'caller_id')} end
elseif redis.call('EXISTS', attempt) == 1 then
  return {'no', 'gone', 0}
end
local lease = redis.call('ZSCORE', queued, attempt_id)
if not again and (not lease or tonumber(lease) <= now) then return {'no', 'gone', 0} end
if redis.call('HGET', campaign, 'state') ~= RUNNING then return {'no', 'paused', 0} end
local phone = redis.call('HGET', contact, 'phone')
local limits = cjson.decode(limits_json)
if listed(do_not_call, phone, limits.purpose, limits.name) then return {'no', 'do_not_call', 0} end
-- The same person may be in two campaigns: one phone rings once at a time.
local other = redis.call('HGET', number, 'attempt')
if other and other ~= attempt_id and redis.call('ZSCORE', lines, other) then return {'no', 'on_a_call', 0} end
-- One number is rung only so often by all campaigns. It is counted here, in the script that writes the attempt.
local allowed_at, longest = 0, RUNG_KEPT_MS
for _, cap in ipairs(limits.caps) do
  local nth = redis.call('ZREVRANGE', rung, cap.attempts - 1, cap.attempts - 1, 'WITHSCORES')
  if nth[2] then allowed_at = math.max(allowed_at, tonumber(nth[2]) + cap.period) end
  longest = math.max(longest, cap.period)
end
if not again and allowed_at > now then return {'no', 'number_limit', allowed_at} end

-- It may leave once the N-th dial before it left so long ago that no N + 1 dials fall within the window, whatever
-- held up that one. The window is a second; more if the pace is below one a second; less if N would be in the
-- thousands.
local most_remembered = 1000
local leaves = math.max(now, tonumber(departure_ms))
local factor = slowness(slow)
local paces = {
  {left = left, interval = tonumber(interval_ms)},
  {left = campaign_left, interval = tonumber(campaign_interval_ms)},
}
for _, pace in ipairs(paces) do
  pace.most = math.min(most_remembered, math.max(1, math.floor(SECOND_MS / pace.interval + 0.001)))
  pace.window = pace.most * pace.interval * factor
  redis.call('ZREM', pace.left, attempt_id)
  local before = redis.call('ZRANGE', pace.left, -pace.most, -pace.most, 'WITHSCORES')
  if before[2] then leaves = math.max(leaves, before[2] + pace.window + APART_MS) end
  -- And at least half the usual interval after the last one: dials that were held up together do not leave together.
  local last = redis.call('ZRANGE', pace.left, -1, -1, 'WITHSCORES')
  if last[2] then leaves = math.max(leaves, last[2] + pace.interval * factor / 2) end
end
leaves = math.ceil(leaves)
if not again and leaves - now > LONGEST_WAIT_MS then return {'wait', now, leaves} end
local function leave()
  for _, pace in ipairs(paces) do
    redis.call('ZADD', pace.left, leaves, attempt_id)
    redis.call('ZREMRANGEBYRANK', pace.left, 0, -pace.most - 1)
    redis.call('PEXPIRE', pace.left, math.ceil(2 * pace.window) + MINUTE_MS)
  end
end
if again then
  leave()
  redis.call('HSET', attempt, 'begun_at', leaves)
  return {'dial', now, leaves, redis.call('HGET', attempt, 'caller_id')}
end

-- The brakes: worker/rules/brakes.py says what they are for.
local begun, approved, brakes_day, brakes_today = unpack(
  redis.call('HMGET', brakes, 'begun', 'approved', 'day', 'today'))
local unapproved = limits.canary > 0 and not approved
if unapproved and tonumber(begun or '0') >= limits.canary then return {'no', 'canary', 0} end
local today = tonumber(brakes_day) == limits.day and tonumber(brakes_today) or 0
if limits.calls_per_day > 0 and today >= limits.calls_per_day then return {'no', 'calls_per_day', 0} end

-- The caller IDs: worker/rules/caller_ids.py says what they must keep to.
local function has_a_line_free(its_lines)
  local most = limits.lines_per_caller_id
  if most == 0 or redis.call('ZCARD', its_lines) < most then return true end
  -- Calls that are over are only removed here, when room is needed.
  for _, holder in ipairs(redis.call('ZRANGE', its_lines, 0, -1)) do
    if not redis.call('ZSCORE', lines, holder) then redis.call('ZREM', its_lines, holder) end
  end
  return redis.call('ZCARD', its_lines) < most
end
local lease_until = leaves + tonumber(lease_ms)
local from, free_at = '', nil
for caller_id, lines_from in next_keys do
  local own_number, day, day_ends = next_args()
  local its_day, its_today, last, rests_until, ours = unpack(
    redis.call('HMGET', caller_id, 'day', 'today', 'last', 'rest', 'ours'))
  local calls = tonumber(its_day) == tonumber(day) and tonumber(its_today) or 0
  local free = math.max(tonumber(rests_until or '0'), last and tonumber(last) + limits.cool_down or 0)
  local most = limits.calls_per_caller_id
  if most > 0 and calls >= most then free = math.max(free, tonumber(day_ends)) end
  if ours == '0' then free = math.max(free, now + ASK_OWNED_MS) end
  if free <= leaves and not has_a_line_free(lines_from) then free = leaves + SOON_MS end
  if free <= leaves then
    if limits.lines_per_caller_id > 0 then
      redis.call('ZADD', lines_from, lease_until, attempt_id)
      redis.call('PEXPIRE', lines_from, lease_until - now)
    end
    from = own_number
    redis.call('HSET', caller_id, 'day', day, 'today', calls + 1, 'last', leaves)
    redis.call('HSET', contact, 'caller_id', from)
    break
  end
  free_at = math.min(free_at or free, free)
end
if free_at and from == '' then return {'no', 'caller_id', free_at} end

if unapproved then redis.call('HINCRBY', brakes, 'begun', 1) end
redis.call('HSET', brakes, 'day', limits.day, 'today', today + 1)
leave()
redis.call('HSET', attempt, 'token', token, 'contact', contact_id, 'begun_at', leaves, 'lease_until', lease_until,
  'rev', 0, 'after', other or '', 'caller_id', from, unpack(cjson.decode(record_json)))
redis.call('HSET', contact, 'state', LIVE, 'attempt', attempt_id, 'made', attempt_number)
redis.call('ZADD', lines, lease_until, attempt_id)
redis.call('ZADD', campaign_lines, lease_until, attempt_id)
redis.call('ZREM', queued, attempt_id)
redis.call('ZADD', watch, leaves + tonumber(first_look_ms), attempt_id)
redis.call('ZADD', rung, leaves, attempt_id)
redis.call('ZREMRANGEBYSCORE', rung, '-inf', now - longest)
redis.call('PEXPIRE', rung, longest + SECOND_MS)
redis.call('HSET', number, 'attempt', attempt_id, 'contact', contact_id, 'at', leaves)
redis.call('RPUSH', journal, cjson.encode({at = leaves, attempt = attempt_id, event = 'dialed'}))
return {'dial', now, leaves, from}
