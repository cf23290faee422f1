"""The hash table on a GPU: the same headers, compiled by NVRTC and launched through CuPy.

Importing this needs neither CuPy nor a device; making a table on `device="gpu"` needs both.
"""
