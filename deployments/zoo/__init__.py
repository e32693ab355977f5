"""The embedded models: small real models that need no model hub and no account.

`embedded.EMBEDDED` lists them; `embedded.ensure` builds one, once, as a folder that transformers loads.
"""
