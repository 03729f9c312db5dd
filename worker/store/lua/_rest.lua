-- Return a function that reads the keys or arguments after those that have a name: so many at a time, or as many as
-- it is asked for. Once all of them are read, it returns nil.
local function rest(values, named, at_a_time)
  local read = named
  return function(count)
    local first = read + 1
    read = read + (count or at_a_time)
    return unpack(values, first, read)
  end
end
