//! Has the command compiled anew when a template comes or goes: `include_dir` notices by itself only what changes.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=templates");
    println!("cargo:rerun-if-changed=../../wit/v0.1");
}
