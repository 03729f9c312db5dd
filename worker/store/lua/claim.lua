-- Take due attempts of all campaigns for the lines, the pace and the warm bots that are free, in fair shares. The due sets
-- hold the ids of the attempts to be made next, so a claim moves members between declared keys and never looks at a
-- contact: its cost is that of what it takes, and of the campaigns and zones that it looks into.
-- KEYS: 1 lines, 2 inbound, 3 used, 4 watch, 5 warm, 6 slow, 7 the account's pace, 8 shares, then of each campaign:
--       campaign, its lines, queued, live, pace, talking, awaiting, odds, and the due sets of its zones that are open now
-- ARGV: 1 clock, 2 lines of the account, 3 how many of them are kept for those who ring us, 4 how long at most a call to us
--       holds one (ms), 5 warm bots by the settings (-1: as many as are needed), 6 how long a used one is not warm (ms),
--       7 how soon a bot must come (ms), 8 for how many standard deviations of luck there must be bots, 9 ms between dials
--       (account), 10 how far ahead of the dials is claimed (ms), 11 lease ms, 12 the most that the pace is slowed by,
--       then of each campaign: name, zones open, lines, ms between dials, weight, answer rate,
--       attempts that may wait to be dialed for what its brakes and caller IDs leave (-1: any number)
-- Returns for each campaign the ids of the attempts taken.
local lease_until = now + tonumber(ARGV[11])

-- Who is on a line. A lease that has run out holds its line no longer; the sweep finds what became of its attempt.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - tonumber(ARGV[4]))
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - 600000)
local campaigns, queued, talking, ringing, silent = {}, 0, 0, 0, 0
local mean, variance = 0, 0 -- of the answers that those who are being rung will give
local at, arg = 9, 13
while at <= #KEYS do
  local zones = tonumber(ARGV[arg + 1])
  local c = {
    name = ARGV[arg], lines = KEYS[at + 1], queued = KEYS[at + 2], live = KEYS[at + 3], pace = KEYS[at + 4],
    talking = KEYS[at + 5], due = {}, taken = {}, interval = tonumber(ARGV[arg + 3]), step = 1 / tonumber(ARGV[arg + 4]),
    rate = tonumber(ARGV[arg + 5]),
  }
  local awaiting, odds = KEYS[at + 6], KEYS[at + 7]
  for _, attempt in ipairs(redis.call('ZRANGEBYSCORE', c.lines, '-inf', now)) do
    redis.call('ZREM', c.lines, attempt)
    if redis.call('ZREM', c.talking, attempt) == 1 then redis.call('ZADD', KEYS[3], now, attempt) end
  end
  redis.call('ZREMRANGEBYSCORE', c.queued, '-inf', now)
  for _, attempt in ipairs(redis.call('ZRANGEBYSCORE', awaiting, '-inf', '(' .. now - tonumber(ARGV[7]))) do
    redis.call('ZREM', awaiting, attempt)
    redis.call('HINCRBY', odds, 'silent', 1)
    silent = silent + 1
  end
  local held, answered = redis.call('ZCARD', c.lines), redis.call('ZCARD', c.talking)
  c.waiting = redis.call('ZCARD', c.queued)
  c.room = tonumber(ARGV[arg + 2]) - held
  local most = tonumber(ARGV[arg + 6])
  if most >= 0 then c.room = math.min(c.room, most - c.waiting) end
  queued, talking, ringing = queued + c.waiting, talking + answered, ringing + held - answered
  mean = mean + (held - answered) * c.rate
  variance = variance + (held - answered) * c.rate * (1 - c.rate)
  if zones > 0 and redis.call('HGET', KEYS[at], 'state') == 'running' then
    for zone = 1, zones do c.due[zone] = KEYS[at + 7 + zone] end
  end
  campaigns[#campaigns + 1] = c
  at, arg = at + 8 + zones, arg + 7
end
if silent > 0 then slow_down(KEYS[6], tonumber(ARGV[12])) end

-- What may not leave soon need not be taken now: how many dials the pace allows until then. Those that wait have their
-- turns already, or will have them next.
local slowed = slowness(KEYS[6])
local function ahead(pace, interval, waiting)
  local turn = math.max(now + waiting * interval * slowed, tonumber(redis.call('GET', pace) or '0'))
  return math.floor((now + tonumber(ARGV[10]) - turn) / (interval * slowed)) + 1
end
local inbound, lines = redis.call('ZCARD', KEYS[2]), redis.call('ZCARD', KEYS[1])
local want = math.min(
  tonumber(ARGV[2]) - math.max(tonumber(ARGV[3]), inbound) - lines, ahead(KEYS[7], tonumber(ARGV[9]), queued))

-- The bots that are warm and free: those that were when they were last counted, less those taken since.
local warm, since = tonumber(ARGV[5]), 0
local count = redis.call('HMGET', KEYS[5], 'idle', 'at')
if count[1] then
  -- A count that grows old gives way to the setting, by half in each half minute.
  local age = math.max(0, now - tonumber(count[2]) - 10000)
  warm = warm + (tonumber(count[1]) - warm) * 0.5 ^ (age / 30000)
  since = tonumber(count[2]) - 2000 -- who came just before may not have been counted yet
end
local free = math.huge
if warm >= 0 then
  local taken = redis.call('ZCOUNT', KEYS[2], since, '+inf')
    + redis.call('ZCOUNT', KEYS[3], '(' .. math.max(since, now - tonumber(ARGV[6])), '+inf')
  if since == 0 then taken = taken + talking
  else
    for _, c in ipairs(campaigns) do taken = taken + redis.call('ZCOUNT', c.talking, since, '+inf') end
  end
  free = warm - taken
end
local luck = tonumber(ARGV[8])
-- As worker.rules.warm_bots.answers_to_expect: what those who ring, and one more of this campaign, may well come to.
local function may_ring_one_more_of(c)
  local with = mean + c.rate + luck * math.sqrt(variance + c.rate * (1 - c.rate))
  return math.min(ringing + 1, with) <= free
end

-- Whose turn it is: start-time fair queueing. Each dial takes a campaign 1/weight further; the one that is least far has
-- the turn. Who had nothing to ring meanwhile begins where the others are, and has saved up nothing.
local here = tonumber(redis.call('HGET', KEYS[8], '@') or '0')
local function look_at_the_first_of(c, zone)
  local first = redis.call('ZRANGEBYSCORE', c.due[zone], '-inf', now, 'WITHSCORES', 'LIMIT', 0, 1)
  c.first[zone] = first[1] and {attempt = first[1], due = tonumber(first[2])} or false
end
local running = {}
for _, c in ipairs(want > 0 and campaigns or {}) do
  c.room = math.min(c.room, ahead(c.pace, c.interval, c.waiting))
  if c.room > 0 and #c.due > 0 then
    c.first = {}
    for zone = 1, #c.due do look_at_the_first_of(c, zone) end
    c.start = math.max(here, tonumber(redis.call('HGET', KEYS[8], c.name) or '0'))
    running[#running + 1] = c
  end
end
local function next_zone_of(c)
  local best
  for zone = 1, #c.due do
    if c.first[zone] and (not best or c.first[zone].due < c.first[best].due) then best = zone end
  end
  return best
end
while want > 0 do
  local c, zone
  for _, other in ipairs(running) do
    if other.room > 0 and (not c or other.start < c.start) then
      local its = next_zone_of(other)
      if its then c, zone = other, its end
    end
  end
  -- If there is no bot for whose turn it is, the others wait with it: they would only take the next one from it.
  if not c or not may_ring_one_more_of(c) then break end
  local attempt = c.first[zone].attempt
  redis.call('ZREM', c.due[zone], attempt)
  redis.call('ZADD', KEYS[1], lease_until, attempt)
  redis.call('ZADD', c.lines, lease_until, attempt)
  redis.call('ZADD', c.queued, lease_until, attempt)
  redis.call('ZADD', c.live, now, attempt)
  redis.call('ZADD', KEYS[4], lease_until, attempt)
  c.taken[#c.taken + 1] = attempt
  want = want - 1
  here, c.start, c.room = c.start, c.start + c.step, c.room - 1
  ringing, mean, variance = ringing + 1, mean + c.rate, variance + c.rate * (1 - c.rate)
  redis.call('HSET', KEYS[8], '@', here, c.name, c.start)
  look_at_the_first_of(c, zone)
end
local taken = {}
for n, c in ipairs(campaigns) do taken[n] = c.taken end
return taken
