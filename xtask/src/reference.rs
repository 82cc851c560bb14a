use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A document that the executable writes about itself.
#[derive(Clone, Copy)]
pub struct Reference {
    /// `renkud reference WHAT`.
    what: &'static str,
    file: &'static str,
}

/// The metrics of all roles.
pub const METRICS: Reference = Reference {
    what: "metrics",
    file: "docs/metrics.md",
};
/// The settings of all roles.
pub const CONFIGURATION: Reference = Reference {
    what: "configuration",
    file: "docs/configuration.md",
};

/// Writes the document, or says that it is out of date.
pub fn write(root: &Path, reference: Reference, check: bool) -> Result<Vec<String>> {
    // The executable beside this one: `make` has just built both.
    let renkud = std::env::current_exe()?.with_file_name("renkud");
    let output = Command::new(&renkud)
        .args(["reference", reference.what])
        .current_dir(root)
        .output()
        .with_context(|| format!("{} does not start: build it first", renkud.display()))?;
    ensure!(
        output.status.success(),
        "renkud: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let path = root.join(reference.file);
    if !check {
        std::fs::write(&path, &output.stdout)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        return Ok(Vec::new());
    }
    let written = std::fs::read(&path).unwrap_or_default();
    if written == output.stdout {
        Ok(Vec::new())
    } else {
        Ok(vec![format!(
            "{} is out of date: cargo run -p xtask -- {}",
            reference.file, reference.what
        )])
    }
}
