"""Pictures that are drawn here, as SVG: what they show goes in, markup comes out.

Colours are classes of the style sheet, so that both themes fit, and nothing is
told by colour alone. Each has a title and a description for those who do not
see it.
"""
