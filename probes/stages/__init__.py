"""Where along a model a fact is lost: statistics of stages, of answers, and the rule that decides."""
