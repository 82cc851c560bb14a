//! `renkuctl graph export`.

use std::borrow::Cow;
use std::io;

use anyhow::anyhow;
use metadata::{MetadataError, ObjectSource, SourceError};
use rdf::{Host, WriteError};
use repos::{LocalError, LocalRepository, Snapshot};

use crate::Failure;
use crate::cli::Export;

/// What the CLI puts IRIs under when there is no remote.
const NO_HOST: &str = "localhost";

/// Exit code for what is no renku project.
const NOT_RENKU: u8 = 2;

pub(crate) fn export(arguments: &Export, domain: Option<&str>) -> Result<(), Failure> {
    if arguments.strict {
        return Err(Failure::new(
            1,
            anyhow!("--strict is not offered: the graph is not validated; leave the option out"),
        ));
    }
    let not_renku = |_| {
        let path = arguments.repo.display();
        Failure::new(NOT_RENKU, anyhow!("{path} is not a renku repository."))
    };
    let repository = LocalRepository::open(&arguments.repo).map_err(|error| match error {
        LocalError::NotARepository(_) => not_renku(error),
        other => Failure::new(1, other),
    })?;
    let files = Files(repository.head().map_err(|error| match error {
        LocalError::Empty => not_renku(error),
        other => Failure::new(1, other),
    })?);
    let host = match domain {
        Some(domain) => domain.to_owned(),
        None => repository
            .host()
            .map_err(|error| Failure::new(1, error))?
            .unwrap_or_else(|| NO_HOST.to_owned()),
    };
    let host = Host::verbatim(&host);
    let revision = arguments
        .revision
        .as_deref()
        .filter(|spec| !spec.is_empty() && !arguments.full);
    let graph = match revision {
        None => metadata::export_full(&files, host),
        Some(spec) => {
            let names = repository
                .changed_metadata(spec)
                .map_err(|error| Failure::new(1, error))?;
            metadata::export_revision(&files, host, &names)
        }
    };
    let graph = graph.map_err(|error| match error {
        MetadataError::NotARenkuProject => not_renku(LocalError::Empty),
        other => Failure::new(other.exit_code(), other),
    })?;
    match graph.write(arguments.format, &mut io::stdout().lock()) {
        // The reader has seen enough.
        Err(WriteError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(1, error)),
        Ok(()) => {
            // Freeing a large graph term by term would only delay the end of the process.
            std::mem::forget(graph);
            Ok(())
        }
    }
}

/// The files of a commit, for the exporter.
struct Files<'r>(Snapshot<'r>);

impl ObjectSource for Files<'_> {
    fn read(&self, path: &str) -> Result<Option<Cow<'_, [u8]>>, SourceError> {
        match self.0.read(path) {
            Ok(blob) => Ok(blob.map(|blob| Cow::Owned(blob.content().to_vec()))),
            Err(error) => Err(Box::new(error)),
        }
    }

    fn is_linked(&self, path: &str) -> bool {
        self.0.is_linked(path)
    }
}
