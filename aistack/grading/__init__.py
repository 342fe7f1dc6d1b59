"""Release and grade the exercises: nbgrader's format, answers run in a sandbox, marks that cannot be forged.

How the parts stand to each other, and who trusts whom:

- :mod:`~aistack.grading.exercise` reads a source notebook, the only thing that is trusted;
- :mod:`~aistack.grading.release` makes the students' notebook from it;
- :mod:`~aistack.grading.submission` finds and reads what came back, of which only the answer cells count;
- :mod:`~aistack.grading.sandbox` runs these cells in a child process that can reach nothing,
  :mod:`~aistack.grading.worker` is what runs there, :mod:`~aistack.grading.seccomp` bars its system calls and
  :mod:`~aistack.grading.plain` is all that crosses: numbers, strings, lists;
- :mod:`~aistack.grading.judge` runs the source's tests outside, with the students' functions called by name;
- :mod:`~aistack.grading.grade` maps that over a folder, :mod:`~aistack.grading.feedback` and
  :mod:`~aistack.grading.gradebook` write it down.
"""
