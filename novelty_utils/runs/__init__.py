"""Run a notebook with parameters, or a sweep of many runs on one machine or a cluster."""
