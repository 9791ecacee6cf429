"""``azureml.*`` import names, resolved to ours by an import finder. Travels with every job."""
