-- Give dials their turns: evenly spread, as the paces of account and campaign allow. A turn is where a dial belongs; that
-- none leaves too early is begin.lua's to see to, which knows when those before it really left.
-- KEYS: 1 the account's pace, 2 the campaign's pace, 3 slow
-- ARGV: 1 clock, 2 ms between dials (account), 3 ms between dials (campaign), 4 how many, 5 the farthest that a turn may be (ms),
--       6 for how long a place that nobody took may still be taken (ms)
-- Returns now, then a turn for each (ms); or, instead of the first that is too far away, minus its time.
local slow = slowness(KEYS[3])
local function next_of(key)
  local free = redis.call('GET', key)
  -- What a hiccup has cost is made good, as far as the N-th last allows; idle time is not saved up.
  return free and math.max(now - ARGV[6], tonumber(free)) or now
end
local account, campaign = next_of(KEYS[1]), next_of(KEYS[2])
local turns = {now}
for _ = 1, tonumber(ARGV[4]) do
  local turn = math.max(account, campaign)
  if turn - now > tonumber(ARGV[5]) then
    turns[#turns + 1] = -math.ceil(turn)
    break
  end
  turns[#turns + 1] = math.ceil(turn)
  -- A slow campaign takes one place of the account's, and does not hold up the others until its own turn has come.
  account = account + ARGV[2] * slow
  campaign = turn + ARGV[3] * slow
end
for k, free in ipairs({account, campaign}) do
  redis.call('SET', KEYS[k], string.format('%.3f', free), 'PX', math.max(1, math.ceil(free - now) + 1000))
end
return turns
