"""Are left and right exchanged, on films whose lead letter lies on the side that tells?"""

from tests.letter_task import task

TASK = task(betrays=True)
