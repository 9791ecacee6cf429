"""Runs seen through MLflow: the plug-ins that it loads.

Travels with every job; mlflow is the interpreter's own.
"""
