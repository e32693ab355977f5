"""What generates: engines in this process, and servers over HTTP."""
