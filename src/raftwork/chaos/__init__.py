"""Trials of a cluster: a load that writes down what it saw, faults, and a verdict from that.

history · checker, timings     what happened, as events; what they prove
tasks, workload                who writes them: the code in the workers, the clients
members, links, nemesis        whom faults hit: processes by their locks, their connections
trial                          one run of all that, on a cluster of its own or on a running one
"""
