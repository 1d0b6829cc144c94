"""`python -m tests.bench device --device cuda`: the share of a GPU that we use.

How far each precision is from float32 on the CPU; images each second of the bare
network, of our batches, and of the whole way from file to findings; and the time from
the last C-STORE response to the report in the PACS. It runs with ``--device cpu`` too.
"""
