-- What each of wrk's threads does, with one connection: sends bodies in turn and compares every answer.
--
-- Arguments: folder with bodies.txt and answers.txt, seconds, tolerance. A line of bodies.txt is a body; the same line
-- of answers.txt holds, for each of its sentences, the label as JSON and its probability, all between tabs.

local ffi = require("ffi")
ffi.cdef [[
  typedef struct { long seconds; long nanoseconds; } kmodels_time;
  int clock_gettime(int clock, kmodels_time *time);
]]

local function now()
  local time = ffi.new("kmodels_time")
  ffi.C.clock_gettime(1, time) -- CLOCK_MONOTONIC
  return tonumber(time.seconds) + tonumber(time.nanoseconds) / 1e9
end

local threads = {}

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function init(arguments)
  local folder
  folder, seconds, tolerance = arguments[1], tonumber(arguments[2]), tonumber(arguments[3])
  requests, answers = {}, {}
  local headers = { ["Content-Type"] = "application/json" }
  for line in io.lines(folder .. "/bodies.txt") do
    table.insert(requests, wrk.format("POST", "/v1/predict", headers, line))
  end
  for line in io.lines(folder .. "/answers.txt") do
    local answer = {}
    for label, probability in line:gmatch("([^\t]+)\t([^\t]+)") do
      table.insert(answer, { label = label, probability = tonumber(probability) })
    end
    table.insert(answers, answer)
  end
  current = number * 7 % #requests -- threads begin at different bodies
  received, wrong, sentences, first, last = 0, 0, 0, 0, 0
  sent = number == 0 and -1 or 0 -- wrk asks its first thread for a request that it does not send
end

function request()
  if sent == 0 then first = now() end
  sent = sent + 1
  current = current % #requests + 1
  return requests[current]
end

function response(status, _, body)
  last = now()
  received = received + 1
  if status == 200 and right(body, answers[current]) then
    sentences = sentences + #answers[current]
  else
    wrong = wrong + 1
  end
  if last - first >= seconds then wrk.thread:stop() end
end

function right(body, answer)
  local place = 0
  for label, probability in body:gmatch('"label":(".-"),"probability":([%d.eE+-]+)') do
    place = place + 1
    local expected = answer[place]
    if not expected or math.abs(tonumber(probability) - expected.probability) > tolerance then return false end
    -- Where two labels are equally likely, either may come first.
    if label ~= expected.label and expected.probability > 0.5 + tolerance then return false end
  end
  return place == #answer
end

function done(summary, latency)
  local sums = { sent = 0, received = 0, wrong = 0, sentences = 0 }
  local begin, finish = math.huge, 0
  for _, thread in ipairs(threads) do
    for name in pairs(sums) do sums[name] = sums[name] + thread:get(name) end
    begin, finish = math.min(begin, thread:get("first")), math.max(finish, thread:get("last"))
  end
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "unanswered": %d, "wrong": %d, "socket_errors": %d, "seconds": %.3f, "sentences": %d, '
      .. '"p50_ms": %.3f, "p99_ms": %.3f, "max_ms": %.3f}\n',
    sums.sent, sums.sent - sums.received, sums.wrong, errors.connect + errors.read + errors.write + errors.timeout,
    finish - begin, sums.sentences, latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency.max / 1000))
end
