"""Work that several processes share, on this machine or on a cluster: the only package that talks to Ray.

`clusters` starts or joins a Ray, `teams` keeps workers on it and replaces those that are lost; `fits`,
`searches`, `scorings` and `profiles` say what they share. Ray is imported when the first team is formed.
"""
