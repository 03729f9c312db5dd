"""`dialout rehearse --fast`: days of a campaign in about a minute.

What the tasks call, the rules and the store are the real ones. Time is an event clock's, the telephone network is odds,
and `findings` reads that network's records.
"""
