"""One package for each published REST surface; none imports another.

`wire` are the requests, with their defaults, ranges and words; `wire_answers` the answers, for the OpenAPI document;
`translate` goes both ways and is pure; `refusals` says errors in the dialect's words and shape; `routes` parse, call
the service once, and answer. `tests/dialects/<name>.yaml` holds every documented call.
"""
