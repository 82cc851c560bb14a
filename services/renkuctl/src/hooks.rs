//! `renkuctl hooks token`.

use std::io::Write as _;

use anyhow::{Context as _, anyhow};
use gitlab::{HookScope, HookTokens};
use model::Secret;
use toml::{Table, Value};

use crate::Failure;
use crate::cli::Token;

pub(crate) fn token(arguments: &Token, variable: Option<&str>) -> Result<(), Failure> {
    let scope = match arguments.project_id {
        Some(project) => HookScope::Project(project),
        None => HookScope::System,
    };
    let token = secrets(arguments, variable)
        .and_then(|secrets| Ok(HookTokens::new(secrets)?.token(scope)))
        .map_err(|error| Failure::new(1, error))?;
    // The token is what was asked for.
    writeln!(std::io::stdout(), "{}", token.expose()).map_err(|error| Failure::new(1, error))
}

/// `hooks.secrets`, from the variable or else from the file.
fn secrets(arguments: &Token, variable: Option<&str>) -> anyhow::Result<Vec<Secret>> {
    let value = match (variable, &arguments.config) {
        (Some(text), _) => {
            let table: Table = format!("secrets = {text}")
                .parse()
                .context("RENKU__HOOKS__SECRETS is not a list as in TOML")?;
            table.get("secrets").cloned()
        }
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("{} cannot be read", path.display()))?;
            let table: Table = text
                .parse()
                .with_context(|| format!("{} is not TOML", path.display()))?;
            table.get("hooks").and_then(|hooks| hooks.get("secrets")).cloned()
        }
        (None, None) => {
            return Err(anyhow!(
                "hooks.secrets is needed: give the file with --config, or set RENKU__HOOKS__SECRETS"
            ));
        }
    };
    let Some(Value::Array(items)) = value else {
        return Err(anyhow!("hooks.secrets is not set to a list of texts"));
    };
    items
        .into_iter()
        .map(|item| match item {
            Value::String(text) => Ok(Secret::new(text)),
            _ => Err(anyhow!("hooks.secrets holds something else than texts")),
        })
        .collect()
}
