"""The embedded models: small real models that need no model hub and no account.

Flow: `embedded.EMBEDDED` (what there is) -> `embedded.ensure` (build it once) -> a folder that transformers loads.
"""
