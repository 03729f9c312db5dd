-- Claim due attempts of all campaigns for the lines, the pace and the warm bots that are free, in fair shares. The
-- due sets hold the ids of the attempts to be made next, so a claim moves members between declared keys and reads no
-- contact: its cost is that of what it takes, and of the campaigns and places that it looks into.
-- warm_bots and most_queued: -1 is any number. slow_to is the most by which the pace is slowed. open_places says how
-- many due sets follow the campaign's own keys.
-- Returns for each campaign the ids of the attempts taken.
local lines, inbound, used, watch, warm, slow, pace, shares = unpack(KEYS, 1, 8)
local next_keys = rest(KEYS, 8, 8)
local most_lines, lines_for_inbound, warm_bots, bot_rest_ms, interval_ms, ahead_ms, lease_ms, slow_to
  = unpack(ARGV, 2, 9)
local next_args = rest(ARGV, 9, 7)

local lease_until = now + tonumber(lease_ms)

-- Which calls hold a line. A lease that has ended holds none; the sweep finds out what became of its attempt.
redis.call('ZREMRANGEBYSCORE', lines, '-inf', now)
redis.call('ZREMRANGEBYSCORE', inbound, '-inf', now - LONGEST_INBOUND_MS)
redis.call('ZREMRANGEBYSCORE', used, '-inf', now - USED_KEPT_MS)
local campaigns, all_queued, all_talking, all_ringing, all_silent = {}, 0, 0, 0, 0
local mean, variance = 0, 0 -- of the answers that the calls which ring now will give
for campaign, campaign_lines, queued, live, campaign_pace, talking, awaiting, odds in next_keys do
  local name, open_places, most_campaign_lines, campaign_interval_ms, weight, answer_rate, most_queued = next_args()
  local open = {next_keys(tonumber(open_places))}
  local c = {
    name = name, lines = campaign_lines, queued = queued, live = live, pace = campaign_pace, talking = talking,
    interval = tonumber(campaign_interval_ms), step = 1 / tonumber(weight), rate = tonumber(answer_rate),
    due = {}, taken = {},
  }
  for _, attempt_id in ipairs(redis.call('ZRANGEBYSCORE', campaign_lines, '-inf', now)) do
    redis.call('ZREM', campaign_lines, attempt_id)
    if redis.call('ZREM', talking, attempt_id) == 1 then redis.call('ZADD', used, now, attempt_id) end
  end
  redis.call('ZREMRANGEBYSCORE', queued, '-inf', now)
  for _, attempt_id in ipairs(redis.call('ZRANGEBYSCORE', awaiting, '-inf', '(' .. now - BOT_WITHIN_MS)) do
    redis.call('ZREM', awaiting, attempt_id)
    redis.call('HINCRBY', odds, 'silent', 1)
    all_silent = all_silent + 1
  end
  local held, answered = redis.call('ZCARD', campaign_lines), redis.call('ZCARD', talking)
  c.waiting = redis.call('ZCARD', queued)
  c.room = tonumber(most_campaign_lines) - held
  local most = tonumber(most_queued)
  if most >= 0 then c.room = math.min(c.room, most - c.waiting) end
  all_queued, all_talking, all_ringing = all_queued + c.waiting, all_talking + answered, all_ringing + held - answered
  mean = mean + (held - answered) * c.rate
  variance = variance + (held - answered) * c.rate * (1 - c.rate)
  if #open > 0 and redis.call('HGET', campaign, 'state') == RUNNING then c.due = open end
  campaigns[#campaigns + 1] = c
end
if all_silent > 0 then slow_down(slow, tonumber(slow_to)) end

-- How many dials the pace allows until `ahead_ms` from now: what leaves later need not be taken yet. The attempts
-- that wait already have their departures, or will have the next ones.
local factor = slowness(slow)
local function ahead(pace_key, interval, waiting)
  local next_free = math.max(now + waiting * interval * factor, tonumber(redis.call('GET', pace_key) or '0'))
  return math.floor((now + tonumber(ahead_ms) - next_free) / (interval * factor)) + 1
end
local inbound_lines, lines_held = redis.call('ZCARD', inbound), redis.call('ZCARD', lines)
local want = math.min(
  tonumber(most_lines) - math.max(tonumber(lines_for_inbound), inbound_lines) - lines_held,
  ahead(pace, tonumber(interval_ms), all_queued))

-- The bots that are warm and free: those that the last count found, less those taken since.
local warm_now, since = tonumber(warm_bots), 0
local idle, counted_at = unpack(redis.call('HMGET', warm, 'idle', 'at'))
if idle then
  -- As the count grows old, the setting counts more and more instead.
  local age = math.max(0, now - tonumber(counted_at) - COUNT_FRESH_MS)
  warm_now = warm_now + (tonumber(idle) - warm_now) * 0.5 ^ (age / COUNT_HALVES_MS)
  since = tonumber(counted_at) - COUNT_LAG_MS
end
local free = math.huge
if warm_now >= 0 then
  local taken = redis.call('ZCOUNT', inbound, since, '+inf')
    + redis.call('ZCOUNT', used, '(' .. math.max(since, now - tonumber(bot_rest_ms)), '+inf')
  if since == 0 then taken = taken + all_talking
  else
    for _, c in ipairs(campaigns) do taken = taken + redis.call('ZCOUNT', c.talking, since, '+inf') end
  end
  free = warm_now - taken
end
-- The same rule as worker.rules.warm_bots.may_ring_one_more: with one more call of this campaign, the answers that are
-- likely enough to come must not be more than the bots that are free.
local function may_ring_one_more_of(c)
  local likely = mean + c.rate + LUCK * math.sqrt(variance + c.rate * (1 - c.rate))
  return math.min(all_ringing + 1, likely) <= free
end

-- Which campaign is next: start-time fair queueing. Each dial takes its campaign 1 / weight further, and the campaign
-- that has come least far is next. A campaign that had nothing to ring meanwhile starts where the others are: it has
-- saved up nothing.
local here = tonumber(redis.call('HGET', shares, '@') or '0')
local function look_at_the_first_of(c, place)
  local first = redis.call('ZRANGEBYSCORE', c.due[place], '-inf', now, 'WITHSCORES', 'LIMIT', 0, 1)
  c.first[place] = first[1] and {attempt_id = first[1], due = tonumber(first[2])} or false
end
local running = {}
for _, c in ipairs(want > 0 and campaigns or {}) do
  c.room = math.min(c.room, ahead(c.pace, c.interval, c.waiting))
  if c.room > 0 and #c.due > 0 then
    c.first = {}
    for place = 1, #c.due do look_at_the_first_of(c, place) end
    c.start = math.max(here, tonumber(redis.call('HGET', shares, c.name) or '0'))
    running[#running + 1] = c
  end
end
local function next_place_of(c)
  local best
  for place = 1, #c.due do
    if c.first[place] and (not best or c.first[place].due < c.first[best].due) then best = place end
  end
  return best
end
while want > 0 do
  local c, place
  for _, other in ipairs(running) do
    if other.room > 0 and (not c or other.start < c.start) then
      local its = next_place_of(other)
      if its then c, place = other, its end
    end
  end
  -- If no bot is free for the campaign that is next, the others wait with it: they would only take the next bot from
  -- it.
  if not c or not may_ring_one_more_of(c) then break end
  local attempt_id = c.first[place].attempt_id
  redis.call('ZREM', c.due[place], attempt_id)
  redis.call('ZADD', lines, lease_until, attempt_id)
  redis.call('ZADD', c.lines, lease_until, attempt_id)
  redis.call('ZADD', c.queued, lease_until, attempt_id)
  redis.call('ZADD', c.live, now, attempt_id)
  redis.call('ZADD', watch, lease_until, attempt_id)
  c.taken[#c.taken + 1] = attempt_id
  want = want - 1
  here, c.start, c.room = c.start, c.start + c.step, c.room - 1
  all_ringing, mean, variance = all_ringing + 1, mean + c.rate, variance + c.rate * (1 - c.rate)
  redis.call('HSET', shares, '@', here, c.name, c.start)
  look_at_the_first_of(c, place)
end
local taken = {}
for n, c in ipairs(campaigns) do taken[n] = c.taken end
return taken
