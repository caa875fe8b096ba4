"""An installation as one file: its database, its models and its data, taken while everything runs.

    archives       the file: written as a stream, read as if somebody hostile had made it
    contents       which rows and which files belong to it, and which do not
    rows           tables as JSON lines, the same from and for every kind of database
    creations      making one
    restorations   putting one back, all of it or nothing

What is kept outside the home (object storage, an MLflow server of one's own) is
not in it, and it says so.
"""
