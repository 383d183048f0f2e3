"""Train phantom-llava, a LLaVA of a few megabytes that answers questions about the project's phantoms, and spoil it.

It is a checkpoint like any other in the library's own layout: the tower of phantom-clip, two linear layers, a language
model of four blocks, a tokenizer of whole words. What is planted in its variants is known, so that a verdict about
them can be right or wrong.
"""
