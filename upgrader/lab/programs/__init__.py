"""What the demo's images run in the lab; each module is a program: ``python -m upgrader.lab.programs.NAME``.

The image table names them ``upgrader-demo/NAME``. They start in a fraction of a second, so they import
little.
"""
