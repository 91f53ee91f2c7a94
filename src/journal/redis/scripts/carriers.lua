-- Reads the entries that carry a publisher's id.
--
-- ARGV: the id, the first of the hub's ids, and the most entries. Answers as read.lua does.
evict()
local answer = {floor, head, ""}
local first = above_floor(ARGV[6])
for _, carrier in ipairs(redis.call("XRANGE", own_key(ARGV[5]), first, "+", "COUNT", ARGV[7])) do
    local entry = redis.call("XRANGE", EVENTS, carrier[1], carrier[1])[1]
    answer[#answer + 1] = entry
end
return answer
