"""`/api/v1`: what a cluster is asked and told over HTTP, in JSON.

`endpoint` says what an address takes, `looking` and `acting` answer, `catalogue` lists them all,
`openapi` describes them, and `serving` is what Starlette calls.
"""
