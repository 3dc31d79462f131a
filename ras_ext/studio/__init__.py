"""A local page to see the defence work, tune it and publish it: ``ras-ext studio``.

``app`` starts it, ``door`` is its security, ``page`` its tabs; behind them ``desk`` (models), ``turns`` and ``work``
(who computes when), ``shelf`` (packs and runs that it keeps) and ``uploads``. Only ``app``, ``page``, ``style`` and
``tabs/`` know Gradio; they are imported when a studio is started.
"""
