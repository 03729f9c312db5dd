-- Take due attempts for the lines that are free. The due sets hold the ids of the attempts to be made next, so a claim
-- moves members between declared keys and never looks at a contact: its cost is that of what it takes.
-- KEYS: 1 campaign, 2 lines, 3 the campaign's lines, 4 queued, 5 live, 6 watch, 7 the account's pace, 8 the campaign's
--       pace, then the due sets of the zones open now
-- ARGV: 1 clock, 2 lines of the account, 3 lines of the campaign, 4 how many may wait to be dialed, 5 lease ms
-- Returns the ids of the attempts taken.
if redis.call('HGET', KEYS[1], 'state') ~= 'running' then return {} end
-- What may not leave within the second need not be taken now.
for k = 7, 8 do
  if tonumber(redis.call('GET', KEYS[k]) or '0') > now + 1000 then return {} end
end
-- A lease that has run out holds its line no longer; the sweep finds what became of its attempt through `watch`.
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now)
local want = math.min(
  tonumber(ARGV[2]) - redis.call('ZCARD', KEYS[2]),
  tonumber(ARGV[3]) - redis.call('ZCARD', KEYS[3]),
  tonumber(ARGV[4]) - redis.call('ZCARD', KEYS[4]))
local lease_until = now + tonumber(ARGV[5])
local taken = {}
-- Zones take turns, so that a long queue in one does not starve the others.
local share = math.max(1, math.ceil(want / math.max(1, #KEYS - 8)))
for pass = 1, 2 do
  for k = 9, #KEYS do
    local room = want - #taken
    if pass == 1 then room = math.min(room, share) end
    if room > 0 then
      for _, attempt in ipairs(redis.call('ZRANGEBYSCORE', KEYS[k], '-inf', now, 'LIMIT', 0, room)) do
        redis.call('ZREM', KEYS[k], attempt)
        redis.call('ZADD', KEYS[2], lease_until, attempt)
        redis.call('ZADD', KEYS[3], lease_until, attempt)
        redis.call('ZADD', KEYS[4], lease_until, attempt)
        redis.call('ZADD', KEYS[5], now, attempt)
        redis.call('ZADD', KEYS[6], lease_until, attempt)
        taken[#taken + 1] = attempt
      end
    end
  end
end
return taken
