"""Webhooks: one POST when a training job has ended, however it ended.

`spec.webhook.format: standard` is signed as Standard Webhooks (https://www.standardwebhooks.com) with the key of
`webhook_key_file`; `cluster` is the body of that REST dialect, signed too where there is a key. Whoever answers with
2xx has got it; 410 means never again; anything else is tried again, ever more slowly, for three days. A message may
come twice: `webhook-id` is then the same. What waits lies in the workspace below `webhooks/` and survives restarts and
the job itself. Of several facades one sends, the holder of the Lease `fettle-webhooks`.
"""
