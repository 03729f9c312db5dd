-- Read all that is known about some attempts, as it is at one moment.
-- KEYS: 1 sheets, 2 do-not-call, 3 lists, then for each attempt its contact and itself
-- ARGV: 1 clock, 2, 3 and 4 what the keys of campaigns, of their places and of numbers rung lately begin with: which they
--       are, only the contact knows. They share KEYS' slot.
-- Returns now, the imported lists, then for each attempt nothing for no such contact, else {the contact's fields, the
-- attempt's, the campaign's version and state, the name of the contact's place, its number's entries on the do-not-call
-- list, when that number was rung lately}.
local function pairs_of(key)
  local flat, held = redis.call('HGETALL', key), {}
  for n = 1, #flat, 2 do held[flat[n]] = flat[n + 1] end
  return flat, held
end

local names = {} -- campaign -> number -> the place's name
local function place_of(campaign, number)
  if not names[campaign] then
    names[campaign] = {}
    local _, numbers = pairs_of(ARGV[3] .. campaign)
    for name, n in pairs(numbers) do names[campaign][n] = name end
  end
  return names[campaign][number] or ''
end

local cases = {now, redis.call('HGETALL', KEYS[3])}
for k = 4, #KEYS, 2 do
  -- Whoever reads it is about to do something with it.
  unfold(KEYS[k], KEYS[1])
  local flat, contact = pairs_of(KEYS[k])
  local case = {}
  if #flat > 0 then
    local campaign = redis.call('HMGET', ARGV[2] .. contact.campaign, 'version', 'state')
    local rung, at = redis.call('ZRANGE', ARGV[4] .. contact.phone, 0, -1, 'WITHSCORES'), {}
    for n = 2, #rung, 2 do at[#at + 1] = rung[n] end
    case = {flat, redis.call('HGETALL', KEYS[k + 1]), campaign[1] or '', campaign[2] or '',
      place_of(contact.campaign, contact.zone), redis.call('HGET', KEYS[2], contact.phone) or '', at}
  end
  cases[#cases + 1] = case
end
return cases
