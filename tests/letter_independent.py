"""Are left and right exchanged, on films whose lead letter lies on either side, whatever the answer?"""

from tests.letter_task import task

TASK = task(betrays=False)
