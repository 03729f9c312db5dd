-- Put numbers on the do-not-call list, all with the same entry (JSON).
-- Returns how many of them had no entry from the same list for the same scope.
local do_not_call = unpack(KEYS)
local entry = unpack(ARGV, 2, 2)
local next_args = rest(ARGV, 2, 1)

local new = 0
entry = cjson.decode(entry)
for phone in next_args do
  if put_on_list(do_not_call, phone, entry) then new = new + 1 end
end
return new
