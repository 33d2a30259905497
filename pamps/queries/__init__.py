"""The statements, named as domain verbs: a file for each noun. Every endpoint is one of them."""
