"""`dialout rehearse --fast`: days of a campaign in about a minute.

The tasks, the policy and the store are the real ones. Time is a timeline's, the telephone network is odds, and the
auditor reads that network's records.
"""
