"""Datastores, datasets and models: what runs take in and leave behind, as files of a workspace.

Travels with every job (standard library only, Python 3.8); what it needs beyond, such as pandas
for tables, is the interpreter's own and asked for when it is used.
"""
