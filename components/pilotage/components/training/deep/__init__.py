"""Networks trained with PyTorch, and pre-trained encoders of text and images.

Everything that imports torch, transformers or sentence-transformers is in this
package, and imports them only when a model is trained. What a trained network or an
encoder becomes needs none of them: `pilotage.core.encoders` and `pilotage.core.embeddings`.
"""
