"""What the page Responsible is made of: one module a section, each of which says what it shows of a version.

`pages.responsible` names them in their order; a section knows nothing of the others.
"""
