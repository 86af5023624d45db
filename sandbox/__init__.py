"""A simulator of the Replicate API and of fal's queue API. It speaks HTTP only and knows nothing of its callers.

    python -m sandbox --port 8090 --data .data/sandbox.sqlite

Where things are:
    app.py            the composition root;  __main__.py: the command line;  connection.py: real connection resets
    replicate.py      the Replicate API;  prediction.py: its prediction object;  replicate_problems.py: its errors
    model_pages.py    Replicate's models and uploads;  versions.py: its version ids
    fal.py            fal's queue and keys;  fal_result.py: what a job answers;  fal_problems.py: its errors
    fal_history.py    fal's request history
    submissions.py    what every submit goes through: counting, faults, the job, the lost answer
    faults.py         the fault words and how they are asked for;  problems.py: refusals
    schemas.py        the models it knows, as data;  parameters.py: the vocabulary;  validation.py: the check
    sizes.py          native parameters -> the files to produce;  media.py: their bytes;  files.py: serves them
    jobs.py           a job and its state as a function of the clock;  journal.py: the SQLite file
    callbacks.py      signed callbacks, when and how often;  sender.py: posts them;  control.py: /sandbox, front page
"""
