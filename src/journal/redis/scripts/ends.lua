-- Tells the floor and the head; whether an id is kept or the floor; and the last kept id below
-- another, or else the floor.
--
-- ARGV: the two ids.
evict()
local id, before = ARGV[5], ARGV[6]
local is_kept = is_above(id, floor) and #redis.call("XRANGE", EVENTS, id, id) > 0
local holds = id == floor or is_kept
local last
if is_above(before, floor) then
    last = backwards(EVENTS, "(" .. before, "(" .. floor, 1)[1]
end
return {floor, head, holds and 1 or 0, last and last[1] or floor}
