"""The server room: what JupyterLab asks about runs, answered by the Jupyter server.

``api.json`` is the schema of all that is said. Everything is read through ``workspace`` and
``watching``, and nothing slow is done on the event loop.
"""
