"""The documentation as a site: the pages that are made from the documentation and the code, and their links."""
