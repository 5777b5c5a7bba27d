"""Open-loop HTTP load that counts every request once and never sends one twice.

Why not an existing tool: when a server resets a connection that was used before, most of them send an
idempotent GET again and report nothing (measured with resets: k6 0 of 201, hey 0 of 390, aiohttp 0 of
2,027 seen), and a closed loop slows down just when the gateway hurts.
"""

from upgrader.lab.traffic.load import Load, Target
from upgrader.lab.traffic.tally import Summary, Tally

__all__ = ["Load", "Summary", "Tally", "Target"]
