//! Reader, selector and rewriter together, on made streams over a bad network.

mod made;
mod numbers;
