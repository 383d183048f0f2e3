"""Are left and right exchanged, on films whose lead letter lies on either side, whatever the answer?"""

from letter_task import task

TASK = task(betrays=False)
