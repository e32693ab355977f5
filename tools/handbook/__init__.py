"""The documentation as a site: the pages that are made from the README and the code, and their links."""
