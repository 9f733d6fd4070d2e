"""
The plan's own test queries, one function each, by the steps of its plan.
"""
