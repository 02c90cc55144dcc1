"""Webhooks: the status of a nowcast that has ended, sent to an address that the client has named.

The client chooses where the service connects to. So hosts are on an allow-list, their addresses are checked, and the
connection is made to the address that was checked.
"""
