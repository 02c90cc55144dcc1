"""Web push: a browser that has subscribed to a place is told before precipitation begins there.

The browser names the address of its push service, so that these are called as webhooks are: hosts on an allow-list, at
addresses that were checked (`service.webhooks`). What is sent only the browser can read (RFC 8291), and the service
identifies itself by a key (VAPID, RFC 8292).
"""
