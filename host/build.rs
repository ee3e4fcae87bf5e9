//! A new migration is part of the program: build again when there is one.

fn main() {
    println!("cargo::rerun-if-changed=../migrations");
}
