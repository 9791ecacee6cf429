"""What runs inside a job, and the formats that a job and its readers share.

Standard library only and Python 3.8, because this room travels alone into any interpreter.
"""
