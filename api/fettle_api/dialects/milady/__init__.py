"""Milady's agent training API: `wire` its types, `translate…` pure conversion, `…_routes` HTTP.

How phases of a TrainingJob appear here:

| phase | status | phase here |
|---|---|---|
| Pending, Queued, Suspended | `queued` | `starting` |
| Starting, Running | `running` | by the stage, see below |
| Succeeded | `completed` | `completed` |
| Failed | `failed` | where it was last |
| Cancelled, or being stopped | `cancelled` | where it was last |

Stages: none yet `starting`, loading_dataset `loading_data`, loading_model `preparing_samples`, training `training`,
evaluating `validating`, saving and uploading `finalizing`.
"""
