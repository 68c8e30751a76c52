"""``hrd web``: the view of ``hrd watch`` for browsers.

``hub`` reads the daemon once and hands its lines to every browser, ``guard`` says who may look,
``app`` is the HTTP server (aiohttp), ``static/`` the pages, which load nothing from elsewhere.
"""
