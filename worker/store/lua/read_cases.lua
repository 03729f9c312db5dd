-- Read all that is known about some attempts, at one moment. Which campaign, places and number a contact has, only
-- the contact tells: their keys are put together here. They are in the same slot as the others.
-- Returns now and the imported lists; then for each attempt nothing if its contact does not exist, else {the
-- contact's fields, the attempt's fields, the campaign's version and state, the name of the contact's place, its
-- number's do-not-call entries, when the number was rung lately}.
local sheets, do_not_call, lists = unpack(KEYS, 1, 3)
local next_keys = rest(KEYS, 3, 2)

local function read_hash(key)
  local flat, fields = redis.call('HGETALL', key), {}
  for n = 1, #flat, 2 do fields[flat[n]] = flat[n + 1] end
  return flat, fields
end

local places = {} -- campaign -> short number -> the place's name
local function place_of(campaign_name, number)
  if not places[campaign_name] then
    places[campaign_name] = {}
    local _, numbers = read_hash(ROOT .. 'zones:' .. campaign_name)
    for label, n in pairs(numbers) do places[campaign_name][n] = label end
  end
  return places[campaign_name][number] or ''
end

local cases = {now, redis.call('HGETALL', lists)}
for contact, attempt in next_keys do
  unfold(contact, sheets) -- because the caller is about to do something with it
  local flat, fields = read_hash(contact)
  local case = {}
  if #flat > 0 then
    local version, state = unpack(redis.call('HMGET', ROOT .. 'campaign:' .. fields.campaign, 'version', 'state'))
    local rung, at = redis.call('ZRANGE', ROOT .. 'rung:' .. fields.phone, 0, -1, 'WITHSCORES'), {}
    for n = 2, #rung, 2 do at[#at + 1] = rung[n] end
    case = {flat, redis.call('HGETALL', attempt), version or '', state or '',
      place_of(fields.campaign, fields.zone), redis.call('HGET', do_not_call, fields.phone) or '', at}
  end
  cases[#cases + 1] = case
end
return cases
