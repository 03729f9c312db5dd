-- Give dials their turns: evenly spread, as the paces of account and campaign allow. A turn is where a dial belongs; that
-- none leaves too early is begin.lua's to see to, which knows when those before it really left.
-- KEYS: 1 the account's pace, 2 the campaign's pace, 3 slow
-- ARGV: 1 clock, 2 ms between dials (account), 3 ms between dials (campaign), 4 how many, 5 the farthest that a turn may be (ms)
-- Returns now, then a turn for each (ms); or, instead of the first that is too far away, minus its time.
local slow = slowness(KEYS[3])
local function next_of(key) return math.max(now, tonumber(redis.call('GET', key) or '0')) end
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
  redis.call('SET', KEYS[k], string.format('%.3f', free), 'PX', math.ceil(free - now) + 1000)
end
return turns
