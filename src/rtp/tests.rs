//! Reader, selector and rewriter together, on made streams and over a bad network.

mod layers;
mod made;
mod numbers;
mod svc;
