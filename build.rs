//! Tells cargo to look at `web/dist`: its files are embedded in the binary, and cargo does not know of files that come or go.

use std::fs;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let dist = Path::new("web/dist");
    // To cargo a missing folder is always new, and everything would be compiled again each time; so it is there, if need be empty. Where
    // the sources cannot be written, nobody builds the page either.
    if fs::create_dir_all(dist).is_ok() {
        println!("cargo::rerun-if-changed=web/dist");
    }
}
