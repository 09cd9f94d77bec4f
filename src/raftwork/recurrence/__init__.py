"""When something recurs: cron expressions, time zones, intervals. Pure: no clock is read here.

Instants are ms since 1970 (UTC). cron.py knows wall-clock times and no zone, zone.py maps between
the two, rule.py makes of both the instants at which a schedule ticks.
"""

from raftwork.recurrence.cron import Cron
from raftwork.recurrence.rule import Rule, jittered
from raftwork.recurrence.zone import Zone, has_zones, zone

__all__ = ["Cron", "Rule", "Zone", "has_zones", "jittered", "zone"]
