"""Trials of a cluster: a load that records what it saw, faults, and a verdict on the record.

history · checker, timings            what happened, as events; what they prove
tasks, workload                       what records them: the code in the workers, the clients
processes, socket_filters, nemesis    what faults hit: processes, and their connections
run                                   one trial, on a cluster of its own or on a running one
"""
