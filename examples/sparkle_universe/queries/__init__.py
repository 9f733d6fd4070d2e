"""
The seed's own queries, each as one function that says what the seed wanted.
"""
