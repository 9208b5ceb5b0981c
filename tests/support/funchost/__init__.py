"""A stand-in for the Azure Functions host, so that tests run the app on the real Python runtime without Core Tools.

`host.py` is the host: it starts `worker.py` in a Python 3.13 environment, where the package `azure-functions-runtime`
loads and indexes the app, and proxies HTTP to the worker's own endpoint as the real host does, with an invocation
per request. `protocol.py` has the messages between the two. HTTP functions on the streaming extension and timers run
by hand are all it knows: no TLS, no function keys, no `functionTimeout`, no scaling.
"""
