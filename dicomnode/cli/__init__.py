"""The command line: parse, dispatch, print. The only room with imports on demand.

``dicomnode --help`` must not wait for what only one command needs, so each command
function imports its own.
"""
