-- Numbers enter the do-not-call list, all with the same entry.
-- KEYS: 1 do-not-call
-- ARGV: 1 clock, 2 the entry (JSON), then the numbers
-- Returns how many had no entry from this list and for this scope before.
local entry, new = cjson.decode(ARGV[2]), 0
for n = 3, #ARGV do
  if put_on_list(KEYS[1], ARGV[n], entry) then new = new + 1 end
end
return new
