-- Give dials their departures: evenly spread, as the paces of account and campaign allow. That no dial really leaves
-- too early is begin.lua's task, which knows when those before it left.
-- Returns now, then a departure for each dial; instead of the first that is too far away, minus its time.
local pace, campaign_pace, slow = unpack(KEYS)
local interval_ms, campaign_interval_ms, count, farthest_ms = unpack(ARGV, 2)

local factor = slowness(slow)
local function next_of(one)
  local free = redis.call('GET', one)
  -- Time that a hiccup has cost is made up for a moment. Idle time is not saved.
  return free and math.max(now - CATCH_UP_MS, tonumber(free)) or now
end
local next_of_account, next_of_campaign = next_of(pace), next_of(campaign_pace)
local told = {now}
for _ = 1, tonumber(count) do
  local at = math.max(next_of_account, next_of_campaign)
  if at - now > tonumber(farthest_ms) then
    told[#told + 1] = -math.ceil(at)
    break
  end
  told[#told + 1] = math.ceil(at)
  -- A slow campaign takes one place of the account's, and does not hold up the others until its own next one.
  next_of_account = next_of_account + interval_ms * factor
  next_of_campaign = at + campaign_interval_ms * factor
end
local function keep(one, free)
  redis.call('SET', one, string.format('%.3f', free), 'PX', math.max(1, math.ceil(free - now) + SECOND_MS))
end
keep(pace, next_of_account)
keep(campaign_pace, next_of_campaign)
return told
