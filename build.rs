//! Puts the git revision into the program, so that a card can name what measured it.

use std::process::Command;

fn main() {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let dirty =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|s| !s.is_empty());
    let revision = git(&["rev-parse", "--short=12", "HEAD"])
        .map(|revision| revision + if dirty { "-dirty" } else { "" })
        .unwrap_or_else(|| "unknown (not built from a git checkout)".into());
    println!("cargo::rustc-env=PROBECARD_REVISION={revision}");
    // Without these lines every build would run this script and link the program anew.
    println!("cargo::rerun-if-changed=build.rs");
    for path in
        ["HEAD", "logs/HEAD", "index"].iter().filter_map(|p| git(&["rev-parse", "--git-path", p]))
    {
        println!("cargo::rerun-if-changed={path}");
    }
}
