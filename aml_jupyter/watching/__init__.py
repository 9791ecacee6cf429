"""The watching room: what there is to see of runs, followed at little cost, for whoever shows it.

Nothing here knows of widgets or sockets: a notebook's live view and a page of the server's are
both told by what stands here.
"""
