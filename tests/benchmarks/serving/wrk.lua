-- Posts the bodies of one payload in turn and prints what wrk measured as JSON. Read by loads.py.
local requests, position = {}, 0

function init(arguments)
  for number = 0, tonumber(os.getenv("BENCH_BODIES")) - 1 do
    local file = assert(io.open(string.format("%s/%03d.json", os.getenv("BENCH_PAYLOAD"), number), "rb"))
    local body = file:read("*a")
    file:close()
    requests[number + 1] = wrk.format("POST", nil, { ["Content-Type"] = "application/json" }, body)
  end
end

function request()
  position = position % #requests + 1
  return requests[position]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
