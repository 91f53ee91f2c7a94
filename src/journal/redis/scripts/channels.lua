-- Lists channels.
--
-- ARGV: what their names start with, where to begin (as ZRANGEBYLEX has it), and the most channels.
-- Answers {the head, and for each channel its name, how many events are kept, the last one's id, and
-- the publisher's for it or ""}.
evict()
local prefix, from, most = ARGV[5], ARGV[6], ARGV[7]
local answer = {head}
for _, name in ipairs(redis.call("ZRANGEBYLEX", CHANNELS, from, "+", "LIMIT", 0, most)) do
    if string.sub(name, 1, #prefix) ~= prefix then
        break
    end
    local last = redis.call("XREVRANGE", channel_key(name), "+", "-", "COUNT", 1)[1]
    if not last then
        redis.call("ZREM", CHANNELS, name)
    else
        answer[#answer + 1] = name
        answer[#answer + 1] = redis.call("XLEN", channel_key(name))
        answer[#answer + 1] = last[1]
        answer[#answer + 1] = last[2][2]
    end
end
return answer
