"""The command ``diffoseg``: arguments in, sentences out."""
