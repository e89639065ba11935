//! Load generator.
fn main(){}
