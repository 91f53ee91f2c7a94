-- Lists channels.
--
-- ARGV: what their names start with, where to begin (as ZRANGEBYLEX has it), and the most channels.
-- Answers {the head, and for each channel its name, how many events are kept, the last one's id, and
-- the publisher's for it or ""}: fewer channels than asked for only if there are no more.
evict()
local prefix, from, most = ARGV[5], ARGV[6], tonumber(ARGV[7])
local answer, found = {head}, 0
while found < most do
    local names = redis.call("ZRANGEBYLEX", CHANNELS, from, "+", "LIMIT", 0, most - found)
    for _, name in ipairs(names) do
        if string.sub(name, 1, #prefix) ~= prefix then
            return answer
        end
        -- The index of a channel that has been quiet for long may have gone before its name.
        if unindex(channel_key(name)) then
            redis.call("ZREM", CHANNELS, name)
        else
            local last = redis.call("XREVRANGE", channel_key(name), "+", "-", "COUNT", 1)[1]
            answer[#answer + 1] = name
            answer[#answer + 1] = redis.call("XLEN", channel_key(name))
            answer[#answer + 1] = last[1]
            answer[#answer + 1] = last[2][2]
            found = found + 1
        end
    end
    if #names == 0 then
        break
    end
    from = "(" .. names[#names]
end
return answer
