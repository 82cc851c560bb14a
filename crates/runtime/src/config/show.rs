use serde::Serialize;

use super::error::ConfigError;
use super::layers::{Loaded, leaves};

impl<T: Serialize> Loaded<T> {
    /// All settings as TOML lines with their sources, secrets as stars: `gitlab.url = "…"  # $RENKU__GITLAB__URL`.
    pub fn show(&self) -> Result<String, ConfigError> {
        let table = toml::Table::try_from(&self.settings).map_err(ConfigError::NotShown)?;
        let lines: Vec<_> = leaves(&table)
            .into_iter()
            // An empty section: none of its optional keys is set.
            .filter(|(_, value)| !value.is_table())
            .map(|(key, value)| (format!("{key} = {value}"), self.source_of(&key)))
            .collect();
        let width = lines
            .iter()
            .map(|(line, _)| line.len())
            .max()
            .unwrap_or(0)
            .min(60);
        let mut out = String::new();
        for (line, source) in lines {
            out.push_str(&format!("{line:width$}  # {source}\n"));
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use model::Secret;
    use serde::{Deserialize, Serialize};

    use crate::config::Layers;

    #[derive(Default, Serialize, Deserialize)]
    #[serde(default)]
    struct Settings {
        listen: String,
        gitlab: GitLab,
    }

    #[derive(Default, Serialize, Deserialize)]
    #[serde(default)]
    struct GitLab {
        token: Option<Secret>,
    }

    #[test]
    fn secrets_are_masked() {
        let text = "listen = \"a\"\n[gitlab]\ntoken = \"glpat-1\"";
        let loaded = Layers::new()
            .toml(Path::new("f.toml"), text)
            .unwrap()
            .load::<Settings>()
            .unwrap();
        assert_eq!(
            loaded.show().unwrap(),
            "gitlab.token = \"***\"  # f.toml\nlisten = \"a\"          # f.toml\n"
        );
    }
}
