"""HTTP beside a broker: a process of its own, whose death and whose load are none of the broker's.

`health` decides, `watch` asks the brokers, `server` answers, `child` is what a broker starts.
"""
