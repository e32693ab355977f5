"""The request side: configuration, routes, HTTP, the command line. Arrows point to `deployments`, never back."""
