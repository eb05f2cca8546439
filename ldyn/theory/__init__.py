"""How one update changes the log-probabilities of other responses: the prediction A · K · G, and what happens.

Symbols (Ren and Sutherland, arXiv 2407.10490; docs/THEORY.md maps them to the code):

    χ = [x ; y]       a prompt and its response, read in one pass under the causal mask      `responses.Response`
    z = h_θ(χ)        logits, one row of V for each of the L response positions              `responses.response_logits`
    π = softmax(z)    the prediction; e_y: the one-hot vector of the token that follows
    A_m = I − 1 π_mᵀ  V × V, from logits to log-probabilities at position m of the observed response χ_o
    K_{m,l}           V × V, (∇_θ z_m(χ_o)) (∇_θ z_l(χ_u))ᵀ, the empirical neural tangent kernel (eNTK)
    G_l = c (π_l − e_{y_l})   V, the residual at position l of the updated response χ_u; the loss sets c    `updates`
    η                 learning rate

    [Δ log π(y | χ_o)]_m = −η Σ_l A_m K_{m,l} G_l + O(η²)

The row of A_m at the label y_m, pulled back to the weights, is ∇_θ log π(y_m); K_{m,l} G_l is −c times ∇_θ z_m applied
to ∇_θ log π(y_l). So each summand at the label is an inner product of two gradients,
η c ⟨∇_θ log π(y_m | χ_o), ∇_θ log π(y_l | χ_u)⟩, and no V × V matrix is needed. For an update Δθ of any optimizer

    predicted change of log π(y_m) = ⟨∇_θ log π(y_m | χ_o), Δθ⟩                                `prediction`
"""
