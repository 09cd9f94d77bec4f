"""`raftwork doctor`: what is, or will be, wrong with a machine or a cluster, and what to do.

`finding` is what is found, `machine` looks at this machine, `cluster` judges what brokers say.
"""
