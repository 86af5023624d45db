"""A simulator of the providers' APIs. It speaks HTTP only and knows nothing of its callers.

    python -m sandbox --port 8090 --data .data/sandbox.sqlite

Where things are:
    app.py            the composition root;  __main__.py: the command line;  connection.py: real connection resets
    replicate/, fal/  and so on: a package for each provider, with its routes, words, credentials and models
    stripe/           payments: the simulated Stripe, beside the providers (its own guide is in its __init__.py)
    registry.py       lists them;  simulated.py: what each of them is to the rest
    submissions.py    what every submit goes through: counting, faults, the job, the lost answer
    faults.py         the fault words and how they are asked for;  problems.py: refusals
    models.py         the models of one provider;  parameters.py: what is known of one;  validation.py: the check
    model_notation.py reads them from a models.yml;  parameter_notation.py: how one parameter is written there
    sizes.py          native parameters -> the files to produce;  media.py: their bytes;  files.py: serves them
    jobs.py           a job and its state as a function of the clock;  journal.py: the SQLite file
    callbacks.py      signed callbacks, when and how often;  sender.py: posts them;  control.py: /sandbox, front page
"""
