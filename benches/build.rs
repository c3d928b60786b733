//! Tells the package what it is compiled with: instruction counts mean nothing without.

use std::{env, process::Command};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let rustc = env::var_os("RUSTC").expect("cargo says which compiler it uses");
    let version = Command::new(rustc).arg("-vV").output().expect("the compiler runs").stdout;
    let version = String::from_utf8_lossy(&version);
    let release = version.lines().find_map(|line| line.strip_prefix("release: ")).unwrap_or("unknown");
    println!("cargo:rustc-env=LOGBOOM_BENCH_RUSTC={release}");
    println!("cargo:rustc-env=LOGBOOM_BENCH_TARGET={}", env::var("TARGET").expect("cargo says what it builds for"));
    println!("cargo:rustc-env=LOGBOOM_BENCH_OPT_LEVEL={}", env::var("OPT_LEVEL").expect("cargo says how it builds"));
}
