-- Sends the requests of a file, a line each, in turn: method, path, Authorization, Content-Type and body, between tabs.
-- Each thread takes its own share of the lines. In the end prints one line of JSON.

local threads_made = 0

function setup(thread)
   thread:set("number", threads_made)
   threads_made = threads_made + 1
end

function init(arguments)
   local threads = tonumber(arguments[2])
   requests, sent = {}, 0
   local count = 0
   for line in io.lines(arguments[1]) do
      if count % threads == number then
         local method, path, authorization, media_type, body = line:match("^(.-)\t(.-)\t(.-)\t(.-)\t(.*)$")
         local headers = {}
         if authorization ~= "" then headers["Authorization"] = authorization end
         if body ~= "" then headers["Content-Type"] = media_type else body = nil end
         requests[#requests + 1] = wrk.format(method, path, headers, body)
      end
      count = count + 1
   end
end

function request()
   sent = sent + 1
   return requests[(sent - 1) % #requests + 1]
end

function done(summary, latency)
   local errors = summary.errors
   print(string.format(
      '{"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "errors": %d}',
      summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout
   ))
end
