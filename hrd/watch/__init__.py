"""The full-screen view of ``hrd watch``, and what it shares with ``hrd web``.

``feed`` reads a daemon in a thread, ``model`` is what is known of it, ``playout`` turns chunks of
waveform into an even flow, ``sweep`` draws that as a monitor does, ``layout`` puts a picture
together on a ``canvas``, ``screen`` brings it to the terminal, ``picture`` to a file.

The terminal library is curses: part of Python, 7 ms to load, and it sends what has changed and no
more. Rich sends the whole picture each time (59 kB/s for 15 pictures a second of 80x24, and 2.7 %
of a core, where a sweep through curses takes 3.3 kB/s and 0.4 %); Textual, blessed,
prompt_toolkit and urwid take 23 to 27 MB before the first line.
"""
